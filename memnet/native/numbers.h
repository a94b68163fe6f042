// Vectors of numbers, functions of them, and matrix products: what the compiled steps share.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64, rows_at_once = 8;
#elif defined(__AVX__)
constexpr int vector_bytes = 32, rows_at_once = 4;
#else
constexpr int vector_bytes = 16, rows_at_once = 4;
#endif

template <class Number> struct Vector { typedef Number type __attribute__((vector_size(vector_bytes))); };
template <class Number> using Lanes = typename Vector<Number>::type;
template <class Number> constexpr int lanes = vector_bytes / sizeof(Number);
template <int value> using Constant = std::integral_constant<int, value>;
typedef uint32_t Bits __attribute__((vector_size(vector_bytes)));

// ---------------------------------------------------------------------------------------------- numbers

template <class Number> Lanes<Number> all(Number value) { return value - Lanes<Number>{}; }

template <class Number> Lanes<Number> load(const Number* from, int64_t count = lanes<Number>) {
    Lanes<Number> result{};
    if (count >= lanes<Number>) std::memcpy(&result, from, vector_bytes);
#if defined(__AVX512F__)
    else if constexpr (sizeof(Number) == 4) result = (Lanes<Number>)_mm512_maskz_loadu_ps((1u << count) - 1, from);
    else result = (Lanes<Number>)_mm512_maskz_loadu_pd((1u << count) - 1, from);
#else
    else std::memcpy(&result, from, count * sizeof(Number));
#endif
    return result;
}

template <class Number> void store(Number* to, Lanes<Number> value, int64_t count = lanes<Number>) {
    if (count >= lanes<Number>) std::memcpy(to, &value, vector_bytes);
#if defined(__AVX512F__)
    else if constexpr (sizeof(Number) == 4) _mm512_mask_storeu_ps(to, (1u << count) - 1, (__m512)value);
    else _mm512_mask_storeu_pd(to, (1u << count) - 1, (__m512d)value);
#else
    else std::memcpy(to, &value, count * sizeof(Number));
#endif
}

// Calls function(first, how many are left) for vectors of 0 .. count - 1.
template <class Number, class Function> void in_vectors(int64_t count, Function function) {
    for (int64_t at = 0; at < count; at += lanes<Number>) function(at, count - at);
}

// The lanes of a vector, or of its halves, put together pairwise by a function.
template <class Number, int count, class Function> Number fold(const Number* parts, Function function) {
    if constexpr (count * sizeof(Number) <= 16) {
        Number result = parts[0];
        for (int lane = 1; lane < count; lane++) result = function(result, parts[lane]);
        return result;
    } else {
        typedef Number Half __attribute__((vector_size(count / 2 * sizeof(Number))));
        Half low, high;
        std::memcpy(&low, parts, sizeof low);
        std::memcpy(&high, parts + count / 2, sizeof high);
        low = function(low, high);
        return fold<Number, count / 2>((const Number*)&low, function);
    }
}
template <class Number> Number sum(Lanes<Number> value) {
    return fold<Number, lanes<Number>>((const Number*)&value, [](auto one, auto other) { return one + other; });
}
template <class Number> Number largest(Lanes<Number> value) {
    return fold<Number, lanes<Number>>((const Number*)&value, [](auto one, auto other) { return other > one ? other : one; });
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define MEMNET_SHUFFLES
#endif
#endif

// The sums of as many vectors as there are lanes, one a lane.
#ifdef MEMNET_SHUFFLES
// Of every segment of one vector its lower half, or its upper, and behind it that of another.
template <class Number, int segment, int upper, int... lane>
Lanes<Number> halves(Lanes<Number> one, Lanes<Number> other, std::integer_sequence<int, lane...>) {
    constexpr int half = segment / 2, second = lanes<Number> - half;
    return __builtin_shufflevector(one, other, (lane + upper * half + (lane % segment < half ? 0 : second))...);
}
template <class Number, int count = lanes<Number>>
__attribute__((always_inline)) inline Lanes<Number> sums(const Lanes<Number>* parts) {
    if constexpr (count == 1) return parts[0];
    else {
        constexpr int half = count / 2;
        constexpr std::make_integer_sequence<int, lanes<Number>> lane{};
        Lanes<Number> added[half];
        for (int at = 0; at < half; at++)
            added[at] = halves<Number, count, 0>(parts[at], parts[at + half], lane) +
                        halves<Number, count, 1>(parts[at], parts[at + half], lane);
        return sums<Number, half>(added);
    }
}
#else
template <class Number> Lanes<Number> sums(const Lanes<Number>* parts) {
    Lanes<Number> result;
    for (int lane = 0; lane < lanes<Number>; lane++) result[lane] = sum<Number>(parts[lane]);
    return result;
}
#endif

// As many vectors as there are lanes, turned: of each lane a vector, in place.
#ifdef MEMNET_SHUFFLES
template <class Number, int half = lanes<Number> / 2>
__attribute__((always_inline)) inline void turn(Lanes<Number>* rows) {
    if constexpr (half > 0) {
        constexpr std::make_integer_sequence<int, lanes<Number>> lane{};
        for (int at = 0; at < lanes<Number>; at++) {
            if (at & half) continue;
            const Lanes<Number> lower = halves<Number, 2 * half, 0>(rows[at], rows[at + half], lane);
            rows[at + half] = halves<Number, 2 * half, 1>(rows[at], rows[at + half], lane);
            rows[at] = lower;
        }
        turn<Number, half / 2>(rows);
    }
}
#else
template <class Number> void turn(Lanes<Number>* rows) {
    for (int at = 0; at < lanes<Number>; at++)
        for (int lane = 0; lane < at; lane++) {
            const Number one = rows[at][lane];
            rows[at][lane] = rows[lane][at];
            rows[lane][at] = one;
        }
}
#endif

// e^x with a relative error of 1e-7; 0 below -87.3, where torch's is denormal; finite for all numbers.
Lanes<float> exponential(Lanes<float> x) {
    const Lanes<float> bounded = x > 88.0f ? all(88.0f) : x;
    const Lanes<float> shifted = bounded * 1.44269504f + 12582912.0f;  // rounds to a whole power of two
    const Lanes<float> power = shifted - 12582912.0f;
    const Lanes<float> rest = bounded - power * 0.693145752f - power * 1.42860682e-6f;
    Lanes<float> series = rest * 0.00139337f + 0.00836324f;
    series = series * rest + 0.04166646f;
    series = series * rest + 0.16666577f;
    series = series * rest + 0.5f;
    series = series * rest * rest + rest + 1.0f;
    const Lanes<float> scale = (Lanes<float>)(((Bits)shifted << 23) + (127u << 23));
    return x < -87.3f ? Lanes<float>{} : series * scale;
}

// log x of a normal positive number.
Lanes<float> logarithm(Lanes<float> x) {
    const Bits exponent = ((Bits)x - 0x3f3504f3u) >> 23;  // of x / sqrt(1/2), modulo 2^9
    const Lanes<float> power = (Lanes<float>)(((exponent + 0x80u) & 0x1ffu) | 0x4b000000u) - 8388736.0f;
    const Lanes<float> rest = (Lanes<float>)((Bits)x - (exponent << 23)) - 1.0f;
    Lanes<float> series = rest * 0.07149754f - 0.11571201f;
    series = series * rest + 0.11661511f;
    series = series * rest - 0.12411051f;
    series = series * rest + 0.14249937f;
    series = series * rest - 0.1666848f;
    series = series * rest + 0.20000707f;
    series = series * rest - 0.24999989f;
    series = series * rest + 0.33333331f;
    const Lanes<float> square = rest * rest;
    const Lanes<float> fraction = power * 1.42860682e-6f + (series * rest * square - square * 0.5f) + rest;
    return x != x ? x : power * 0.693145752f + fraction;
}

// 1 / x of a finite number that is not 0: a division takes five times as long.
template <class Vector> Vector reciprocal(Vector x) {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<Vector, Lanes<float>>) {
        const Vector near = (Vector)_mm512_rcp14_ps((__m512)x);
        return near + near * (1 - x * near);
    }
#endif
    return 1 / x;
}

Lanes<float> hyperbolic_tangent(Lanes<float> x) {
    const Lanes<float> size = x < 0.0f ? -x : x, square = x * x;
    Lanes<float> series = square * -0.00610495f + 0.02100364f;
    series = series * square - 0.0538525f;
    series = series * square + 0.13332782f;
    series = series * square - 0.33333329f;
    const Lanes<float> large = 1.0f - 2.0f * reciprocal(exponential(size + size) + 1.0f);
    return size < 0.625f ? series * square * x + x : x < 0.0f ? -large : large;
}

template <double function(double)> Lanes<double> each(Lanes<double> x) {
    for (int lane = 0; lane < lanes<double>; lane++) x[lane] = function(x[lane]);
    return x;
}
Lanes<double> exponential(Lanes<double> x) { return each<std::exp>(x); }
Lanes<double> logarithm(Lanes<double> x) { return each<std::log>(x); }
Lanes<double> hyperbolic_tangent(Lanes<double> x) { return each<std::tanh>(x); }

// 1 / sqrt(x) of a positive number, infinity counted as the largest.
template <class Number> Lanes<Number> inverse_root(Lanes<Number> x) {
#if defined(__AVX512F__)
    if constexpr (sizeof(Number) == 4) {
        const Number most = std::numeric_limits<Number>::max();
        x = x > most ? all(most) : x;
        const Lanes<Number> near = (Lanes<Number>)_mm512_rsqrt14_ps((__m512)x);
        return near + near * (Number(0.5) - Number(0.5) * (x * near) * near);
    }
#endif
    for (int lane = 0; lane < lanes<Number>; lane++) x[lane] = std::sqrt(x[lane]);
    return 1 / x;
}

template <class Vector> Vector sigmoid(Vector x) { return reciprocal(1 + exponential(-x)); }

// log(1 + small), as exact as small is.
template <class Vector> Vector logarithm_above_one(Vector small) {
    const Vector whole = 1 + small;
    return whole == 1 ? small : logarithm(whole) * small * reciprocal(whole - 1);
}

template <class Vector> Vector softplus(Vector x) {
    const Vector rest = logarithm_above_one(exponential(x < 0 ? x : -x));
    return x > 20 ? x : x < 0 ? rest : rest + x;
}
template <class Vector> Vector softplus_slope(Vector x) { return x > 20 ? 1 - Vector{} : sigmoid(x); }

// ---------------------------------------------------------------------------------------------- matrix products

// Calls function(how many, first) for all of 0 .. count - 1, as many at a time as there are.
template <int most, class Function> void in_tiles(int64_t count, Function function, int64_t first = 0) {
    for (; first + most <= count; first += most) function(Constant<most>(), first);
    if constexpr (most > 1) in_tiles<most / 2>(count, function, first);
}

// total(row, j) += sum_i input(row, i) matrix(i, j), for `vectors` vectors of columns j. A step leads to the next index.
template <int rows, int vectors, class Number>
void multiply(int64_t in, const Number* input, int64_t row_step, int64_t in_step, const Lanes<Number>* matrix,
              int64_t matrix_step, Lanes<Number> (&total)[rows][vectors]) {
    for (int64_t i = 0; i < in; i++, matrix += matrix_step)
        for (int row = 0; row < rows; row++)
            for (int part = 0; part < vectors; part++)
                total[row][part] += input[row * row_step + i * in_step] * matrix[part];
}

// Vectors of a matrix at once: with the rows at once as many sums as there are registers for.
constexpr int vectors_at_once = 3;

// A weight matrix (in, out) in panels of so many vectors of outputs, or of fewer at the end; each begins with its biases.
template <class Number> struct Panels {
    static constexpr int width = vectors_at_once * lanes<Number>;
    int64_t in, out;
    std::unique_ptr<Lanes<Number>[]> packed;

    // A matrix of zeros.
    Panels(int64_t in, int64_t out)
        : in(in), out(out), packed(new Lanes<Number>[(out + width - 1) / width * (in + 1) * vectors_at_once]()) {}

    // element(i, j) of the matrix is weight[i * step_in + j * step_out].
    Panels(int64_t in, int64_t out, const Number* weight, int64_t step_in, int64_t step_out, const Number* bias)
        : Panels(in, out) {
        fill(0, in, 0, out, weight, step_in, step_out);
        if (bias) add_bias(0, out, bias);
    }

    // Elements (first_in + i, first_out + j) become weight[i * step_in + j * step_out].
    void fill(int64_t first_in, int64_t count_in, int64_t first_out, int64_t count_out, const Number* weight,
              int64_t step_in, int64_t step_out) {
        for (int64_t j = first_out; j < first_out + count_out; j++, weight += step_out) {
            const int64_t first = j / width * width, room = vectors_of(first) * lanes<Number>;
            Number* to = (Number*)panel_of(first) + (first_in + 1) * room + j - first;
            for (int64_t i = 0; i < count_in; i++) to[i * room] = weight[i * step_in];
        }
    }
    void add_bias(int64_t first_out, int64_t count, const Number* bias) {
        for (int64_t j = first_out; j < first_out + count; j++) ((Number*)panel_of(j / width * width))[j % width] += *bias++;
    }

    Lanes<Number>* panel_of(int64_t first) const { return packed.get() + first / width * (in + 1) * vectors_at_once; }
    int64_t vectors_of(int64_t first) const {
        return std::min<int64_t>(vectors_at_once, (out - first + lanes<Number> - 1) / lanes<Number>);
    }

    // output = bias + input W, for rows of a batch. Of an output row's `stride` numbers those after `out` may become 0.
    void apply(int64_t rows, const Number* input, int64_t input_stride, Number* output, int64_t stride) const {
        apply(rows, input, input_stride, output, stride, [&](int64_t, int64_t j) {
            return panel_of(j / vectors_at_once * width)[j % vectors_at_once]; });
    }

    // output = start + input W, where start(row, j) gives the j-th vector of an output row.
    template <class Start>
    void apply(int64_t rows, const Number* input, int64_t input_stride, Number* output, int64_t stride,
               Start start) const {
        for (int64_t first = 0; first < out; first += width) {
            auto part = [&](auto vectors) {
                in_tiles<rows_at_once>(rows, [&](auto count, int64_t row) {
                    tile<count, vectors>(first, row, input, input_stride, output, stride, start);
                });
            };
            if (vectors_of(first) == 3) part(Constant<3>());
            else if (vectors_of(first) == 2) part(Constant<2>());
            else part(Constant<1>());
        }
    }

    template <int rows, int vectors, class Start>
    void tile(int64_t first, int64_t first_row, const Number* input, int64_t input_stride, Number* output,
              int64_t stride, Start start) const {
        Lanes<Number> total[rows][vectors];
        for (int row = 0; row < rows; row++)
            for (int part = 0; part < vectors; part++)
                total[row][part] = start(first_row + row, first / lanes<Number> + part);
        multiply(in, input + first_row * input_stride, input_stride, 1, panel_of(first) + vectors, vectors, total);
        for (int row = 0; row < rows; row++)
            for (int part = 0; part < vectors; part++) {
                const int64_t at = first + part * lanes<Number>;
                store(output + (first_row + row) * stride + at, total[row][part], stride - at);
            }
    }
};

// ---------------------------------------------------------------------------------------------- being called

// While it lives, numbers below all normal ones count as zero, where the processor can: it computes with them a hundred
// times slower.
class Flushed {
#if defined(__SSE__)
    const unsigned before = __builtin_ia32_stmxcsr();

public:
    Flushed() { __builtin_ia32_ldmxcsr(before | 0x8040); }
    ~Flushed() { __builtin_ia32_ldmxcsr(before); }
#else
public:
    Flushed() {}
#endif
    Flushed(const Flushed&) = delete;
};

// Gives 0, 1 when there is not enough memory, or 2 for an index out of range.
template <class Sequence, class Problem> int run(const Problem& problem, bool backward) {
    const Flushed flushed;
    try {
        Sequence(problem).run(backward);
        return 0;
    } catch (const std::out_of_range&) {
        return 2;
    } catch (...) {  // std::bad_alloc
        return 1;
    }
}

}  // namespace
