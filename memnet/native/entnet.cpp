// A recurrent entity network over whole stories, forward and backward (Henaff et al. 2017, arXiv 1612.03969).
//
// The definition is the plain step in entnet.py; this file computes the same, equation by equation. A row of the batch
// goes through its sentences alone and leaves out those that are none, so that what is kept counts sentences without
// gaps. Rows of `width` numbers are kept as whole vectors, zeros after the end.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "numbers.h"

namespace {

// Sizes and tensors, laid out as entnet.py fills it in. What depends on sentences or keys alone is given.
template <class Number> struct Problem {
    int64_t batch, time, slots, width;
    int64_t unit;            // whether memories are normalised, eq. 5
    int64_t keep;            // whether to keep features for a backward pass
    const uint8_t* present;  // (batch, time), whether there is a sentence
    const Number* sentences;    // s: (batch, time, width)
    const Number* by_key;       // s . w_j + b_j: (batch, time, slot)
    const Number* by_sentence;  // W s: (batch, time, width)
    const Number* by_slot;      // V w_j and U's bias: (slot, width)
    const Number *weight, *slopes;  // U (width, width), and the slopes of f (width)
    const Number* first;            // the memories given: (batch, slot, width)
    Number* last;                   // the memories returned
    Number* gates;                  // (batch, time, slot)
    Number* features;               // what f is applied to: (batch, time, slot, room for width), or of one sentence
    const Number *d_gates, *d_last;  // gradients from here on; null for none
    Number *d_sentences, *d_by_key, *d_by_sentence, *d_by_slot, *d_weight, *d_slopes, *d_first;
};

// Products with a matrix whose last columns fill less than half a vector: there a vector holds some of the matrix's rows
// as well, of each of these columns one behind the other.
template <class Number> class Product {
    typedef Lanes<Number> Vec;
    static constexpr int L = lanes<Number>;
    static constexpr int most = 16 / sizeof(Number);
    int64_t in, whole;         // rows, and columns in whole vectors
    Panels<Number> panels;     // of those
    int ways;                  // rows in a vector of the others
    std::vector<Vec> columns;  // (row / ways)

public:
    // How many of so many columns stand apart.
    static int64_t apart(int64_t out) {
#ifdef MEMNET_SHUFFLES
        if (L >= 4 && out % L <= L / 2) return out % L;
#endif
        return 0;
    }

    Product(int64_t size, const Number* weight, int64_t step_in, int64_t step_out)
        : in(size), whole(size - apart(size)), panels(size, whole, weight, step_in, step_out, nullptr),
          ways(size - whole <= L / most ? most : 2), columns(size > whole ? (size + ways - 1) / ways : 0) {
        for (int64_t i = 0; i < in && !columns.empty(); i++)
            for (int64_t j = whole; j < size; j++)
                columns[i / ways][(j - whole) * ways + i % ways] = weight[i * step_in + j * step_out];
    }

    // As Panels have it; of an input row those after the last may be read, and must be 0.
    template <class Start>
    void apply(int64_t rows, const Number* input, int64_t stride, Number* output, Start start) const {
        panels.apply(rows, input, stride, output, stride, start);
        if (columns.empty()) return;
        in_tiles<8>(rows, [&](auto count, int64_t row) {
            const Number* from = input + row * stride;
            Vec* to = (Vec*)(output + row * stride + whole);
            auto begin = [&](int64_t at) { return start(row + at, whole / L); };
            if (ways == most) finish<most, count>(from, stride, to, begin);
            else finish<2, count>(from, stride, to, begin);
        });
    }

private:
    template <int some, int rows, class Start>
    void finish(const Number* input, int64_t stride, Vec* output, Start start) const {
        Vec total[rows]{};
        for (size_t at = 0; at < columns.size(); at++)
            for (int row = 0; row < rows; row++) total[row] += repeated<some>(input + row * stride + at * some) * columns[at];
        for (int row = 0; row < rows; row++) output[row * stride / L] = start(row) + gathered<some>(total[row]);
    }

#ifdef MEMNET_SHUFFLES
    // So many numbers again and again.
    template <int count> static Vec repeated(const Number* from) {
        constexpr int bytes = count * sizeof(Number);
        if constexpr (bytes == vector_bytes) return load(from);
        else if constexpr (bytes == 8) {
            typedef uint64_t Words __attribute__((vector_size(vector_bytes)));
            uint64_t word;
            std::memcpy(&word, from, bytes);
            return (Vec)(word - Words{});
        } else {
            typedef float Quarter __attribute__((vector_size(16)));
            Quarter some;
            std::memcpy(&some, from, bytes);
#if defined(__AVX512F__)
            return (Vec)_mm512_broadcast_f32x4(some);
#else
            return (Vec)__builtin_shufflevector(some, some, 0, 1, 2, 3, 0, 1, 2, 3);
#endif
        }
    }
    // The sums of so many lanes each, one behind the other, and zeros.
    template <int count, int... lane> static Vec gather(Vec parts, std::integer_sequence<int, lane...>) {
        parts += __builtin_shufflevector(parts, parts, (lane ^ 1)...);
        if constexpr (count == 4) parts += __builtin_shufflevector(parts, parts, (lane ^ 2)...);
        return __builtin_shufflevector(parts, Vec{}, (lane < L / count ? lane * count : L)...);
    }
    template <int count> static Vec gathered(Vec parts) {
        return gather<count>(parts, std::make_integer_sequence<int, L>{});
    }
#else
    template <int count> static Vec repeated(const Number*) { return {}; }
    template <int count> static Vec gathered(Vec parts) { return parts; }
#endif
};

template <class Number> class Sequence : Problem<Number> {
    typedef Lanes<Number> Vec;
    typedef Problem<Number> P;
    using P::batch, P::time, P::slots, P::width, P::keep;
    static constexpr int L = lanes<Number>;

    const int64_t vectors = (width + L - 1) / L, room = vectors * L, size = slots * vectors;
    const int64_t apart = Product<Number>::apart(width), whole = width - apart;  // columns of dU, see Gradients
    const int64_t together = std::max<int64_t>(1, 128 / slots);  // sentences whose share of dU is one product

    // What f is applied to for a row's sentence number `index`.
    Vec* features_of(int64_t row, int64_t index) const {
        return (Vec*)P::features + (keep ? row * time + index : 0) * size;
    }

    // Rows of numbers as whole vectors, and back.
    void widen(int64_t rows, const Number* from, Vec* to) const {
        for (int64_t row = 0; row < rows; row++)
            for (int64_t j = 0; j < vectors; j++)
                to[row * vectors + j] = load(from + row * width + j * L, width - j * L);
    }
    void narrow(int64_t rows, const Vec* from, Number* to) const {
        for (int64_t row = 0; row < rows; row++)
            for (int64_t j = 0; j < vectors; j++)
                store(to + row * width + j * L, from[row * vectors + j], width - j * L);
    }

    // What does not change from sentence to sentence, and room for the memories of one row: h before and after a
    // sentence, or before and after all.
    struct Work {
        Product<Number> product;  // with U forward, with its transpose backward
        std::vector<Vec> slopes, by_slot, sentence, by_sentence, memories;
        std::vector<Number> numbers, scales;  // one a slot; 1 / |h| of every memory
        Work(const Sequence& of, bool backward)
            : product(of.width, of.weight, backward ? of.width : 1, backward ? 1 : of.width),
              slopes(of.vectors), by_slot(of.size), sentence(of.vectors), by_sentence(of.vectors),
              memories((backward ? of.time + 1 : 2) * of.size), numbers(of.slots),
              scales((backward ? of.time + 1 : 2) * of.slots) {
            of.widen(1, of.P::slopes, slopes.data());
        }
    };

    // ------------------------------------------------------------------------------------------ forward

    // The dot product of every slot's vector with another, which is `step` vectors after the one before.
    void dot_products(const Vec* one, const Vec* other, int64_t step, Number* to) const {
        for (int64_t slot = 0; slot < slots; slot++, one += vectors, other += step) {
            Vec total{};
            for (int64_t j = 0; j < vectors; j++) total += one[j] * other[j];
            to[slot] = sum<Number>(total);
        }
    }

    // Eq. 2.
    void open_gates(const Vec* memory, const Vec* sentence, const Number* by_key, Number* similarity,
                    Number* gates) const {
        dot_products(memory, sentence, 0, similarity);
        for (int64_t slot = 0; slot < slots; slot += L) {
            const int64_t count = slots - slot;
            store(gates + slot, sigmoid(load(similarity + slot, count) + load(by_key + slot, count)), count);
        }
    }

    // What f is applied to in eq. 3.
    void find_features(const Work& work, const Vec* memory, Vec* features) const {
        auto rest = [&](int64_t slot, int64_t j) { return work.by_slot[slot * vectors + j] + work.by_sentence[j]; };
        work.product.apply(slots, (const Number*)memory, room, (Number*)features, rest);
    }

    // Eqs. 3 to 5: the candidate, gated, is added and the sum normalised.
    void update(const Work& work, const Vec* memory, const Number* gates, const Vec* features, Vec* after,
                Number* scales) const {
        for (int64_t slot = 0; slot < slots; slot++) {
            const int64_t first = slot * vectors;
            Vec square{};
            for (int64_t j = 0; j < vectors; j++) {
                const Vec feature = features[first + j];
                const Vec candidate = feature > 0 ? feature : work.slopes[j] * feature;
                const Vec moved = memory[first + j] + gates[slot] * candidate;
                after[first + j] = moved;
                square += moved * moved;
            }
            if (!P::unit) continue;
            const Number norm = std::sqrt(sum<Number>(square));
            const Number scale = norm > 0 ? 1 / norm : 1;
            for (int64_t j = 0; j < vectors; j++) after[first + j] *= scale;
            scales[slot] = scale;
        }
    }

    void forward_row(int64_t row, Work& work) const {
        Vec *memory = work.memories.data(), *after = memory + size;
        widen(slots, P::first + row * slots * width, memory);
        int64_t index = 0;
        for (int64_t at = row * time; at < (row + 1) * time; at++) {
            Number* gates = P::gates + at * slots;
            if (!P::present[at]) {
                std::fill_n(gates, slots, Number(0));
                continue;
            }
            widen(1, P::sentences + at * width, work.sentence.data());
            widen(1, P::by_sentence + at * width, work.by_sentence.data());
            Vec* features = features_of(row, index++);
            open_gates(memory, work.sentence.data(), P::by_key + at * slots, work.numbers.data(), gates);
            find_features(work, memory, features);
            update(work, memory, gates, features, after, work.scales.data());
            std::swap(memory, after);
        }
        narrow(slots, memory, P::last + row * slots * width);
    }

    // ------------------------------------------------------------------------------------------ backward

    // Gradients of what all sentences share, and those that go from a sentence to the one before.
    struct Gradients {
        std::vector<Vec> weight, apart, by_slot, slopes;  // dU, of its columns that stand apart turned
        std::vector<Vec> memory;    // of one row
        std::vector<Vec> features;  // of `together` sentences
        Gradients(const Sequence& of)
            : weight(of.width * of.vectors), apart(of.apart * of.vectors), by_slot(of.size), slopes(of.vectors), memory(of.size),
              features(of.together * of.size) {}
    };

    // The memories before and after every sentence of a row once more.
    void replay(int64_t row, const std::vector<int64_t>& sentences, Work& work) const {
        Vec* memory = work.memories.data();
        Number* scales = work.scales.data();
        widen(slots, P::first + row * slots * width, memory);
        for (size_t index = 0; index < sentences.size(); index++, memory += size, scales += slots)
            update(work, memory, P::gates + sentences[index] * slots, features_of(row, index), memory + size, scales);
    }

    // Back through eqs. 3 to 5: the gradient of the memory after becomes that of the sum before eq. 5, and gives those
    // of the features and (d_gates) of the gates.
    void update_backward(const Work& work, const Vec* after, const Vec* features, const Number* gates,
                         const Number* scales, Gradients& gradients, Vec* d_features, Number* d_gates) const {
        Number* length = d_gates;  // of what the gradient has along the memory, which eq. 5 takes away
        if (P::unit) dot_products(gradients.memory.data(), after, vectors, length);
        for (int64_t slot = 0; slot < slots; slot++) {
            const int64_t first = slot * vectors;
            Vec* d_memory = gradients.memory.data() + first;
            for (int64_t j = 0; P::unit && j < vectors; j++)
                d_memory[j] = (d_memory[j] - after[first + j] * length[slot]) * scales[slot];
            Vec total{};
            for (int64_t j = 0; j < vectors; j++) {
                const Vec feature = features[first + j], d_candidate = gates[slot] * d_memory[j];
                total += d_memory[j] * (feature > 0 ? feature : work.slopes[j] * feature);
                d_features[first + j] = feature > 0 ? d_candidate : work.slopes[j] * d_candidate;
                gradients.slopes[j] += feature > 0 ? Vec{} : feature * d_candidate;
            }
            d_gates[slot] = sum<Number>(total);
        }
    }

    // Back through eq. 2 and to what eqs. 2 and 3 are given, for d_similarity of every slot.
    void gates_backward(const Work& work, int64_t at, const Vec* memory, const Vec* d_features,
                        Gradients& gradients) const {
        const Number* d_similarity = work.numbers.data();
        for (int64_t j = 0; j < vectors; j++) {
            Vec d_sentence{}, d_by_sentence{};
            for (int64_t slot = 0; slot < slots; slot++) {
                const int64_t one = slot * vectors + j;
                d_sentence += d_similarity[slot] * memory[one];
                d_by_sentence += d_features[one];
                gradients.by_slot[one] += d_features[one];
                gradients.memory[one] += d_similarity[slot] * work.sentence[j];
            }
            store(P::d_sentences + at * width + j * L, d_sentence, width - j * L);
            store(P::d_by_sentence + at * width + j * L, d_by_sentence, width - j * L);
        }
    }

    // dU += d_features^T h, over all slots of some sentences; of the columns that stand apart the other way round.
    void add_weight_gradient(int64_t rows, const Vec* d_features, const Vec* memory, Gradients& to) const {
        add_outer(rows, width, (const Number*)d_features, whole == width ? vectors : whole / L, memory, to.weight.data());
        add_outer(rows, apart, (const Number*)memory + whole, vectors, d_features, to.apart.data());
    }
    // to(i, j) += sum over rows of one(i) other(j), for the numbers and vectors of a row.
    void add_outer(int64_t rows, int64_t numbers, const Number* one, int64_t count, const Vec* other, Vec* to) const {
        in_tiles<2>(count, [&](auto columns, int64_t j) {
            in_tiles<rows_at_once>(numbers, [&](auto outputs, int64_t i) {
                weight_tile<outputs, columns>(rows, one + i, other + j, to + i * vectors + j);
            });
        });
    }
    template <int outputs, int columns>
    void weight_tile(int64_t rows, const Number* one, const Vec* other, Vec* to) const {
        Vec total[outputs][columns];
        for (int at = 0; at < outputs; at++)
            for (int part = 0; part < columns; part++) total[at][part] = to[at * vectors + part];
        multiply(rows, one, 1, room, other, vectors, total);
        for (int at = 0; at < outputs; at++)
            for (int part = 0; part < columns; part++) to[at * vectors + part] = total[at][part];
    }

    void backward_row(int64_t row, Work& work, Gradients& gradients) const {
        std::vector<int64_t> sentences;
        for (int64_t at = row * time; at < (row + 1) * time; at++) {
            if (P::present[at]) {
                sentences.push_back(at);
                continue;
            }
            std::fill_n(P::d_sentences + at * width, width, Number(0));
            std::fill_n(P::d_by_sentence + at * width, width, Number(0));
            std::fill_n(P::d_by_key + at * slots, slots, Number(0));
        }
        replay(row, sentences, work);
        if (P::d_last) widen(slots, P::d_last + row * slots * width, gradients.memory.data());
        else std::fill(gradients.memory.begin(), gradients.memory.end(), Vec{});
        for (int64_t index = (int64_t)sentences.size() - 1, end = index + 1; index >= 0; index--) {
            const int64_t at = sentences[index];
            Vec* d_features = gradients.features.data() + index % together * size;
            step_backward(row, index, at, work, gradients, d_features);
            if (index % together) continue;
            add_weight_gradient((end - index) * slots, d_features, work.memories.data() + index * size, gradients);
            end = index;
        }
        narrow(slots, gradients.memory.data(), P::d_first + row * slots * width);
    }

    // Back through sentence number `index` of a row.
    void step_backward(int64_t row, int64_t index, int64_t at, Work& work, Gradients& gradients,
                       Vec* d_features) const {
        const Number* gates = P::gates + at * slots;
        Number *d_similarity = work.numbers.data(), *d_by_key = P::d_by_key + at * slots;
        const Vec* memory = work.memories.data() + index * size;
        update_backward(work, memory + size, features_of(row, index), gates, work.scales.data() + index * slots,
                        gradients, d_features, d_similarity);
        for (int64_t slot = 0; slot < slots; slot++) {
            if (P::d_gates) d_similarity[slot] += P::d_gates[at * slots + slot];
            d_by_key[slot] = d_similarity[slot] *= gates[slot] * (1 - gates[slot]);
        }
        widen(1, P::sentences + at * width, work.sentence.data());
        gates_backward(work, at, memory, d_features, gradients);
        Vec* d_memory = gradients.memory.data();
        work.product.apply(slots, (const Number*)d_features, room, (Number*)d_memory,
                           [&](int64_t slot, int64_t j) { return d_memory[slot * vectors + j]; });
    }

public:
    Sequence(const Problem<Number>& problem) : Problem<Number>(problem) {}

    void run(bool backward) const {
        Work work(*this, backward);
        if (!backward) {
            widen(slots, P::by_slot, work.by_slot.data());
            for (int64_t row = 0; row < batch; row++) forward_row(row, work);
            return;
        }
        Gradients gradients(*this);
        for (int64_t row = 0; row < batch; row++) backward_row(row, work, gradients);
        narrow(width, gradients.weight.data(), P::d_weight);
        for (int64_t j = 0; j < apart; j++)
            for (int64_t i = 0; i < width; i++)
                P::d_weight[i * width + whole + j] = ((const Number*)&gradients.apart[j * vectors])[i];
        narrow(slots, gradients.by_slot.data(), P::d_by_slot);
        narrow(1, gradients.slopes.data(), P::d_slopes);
    }
};

}  // namespace

// For one kind of number, NUMBER. Each gives 0, or 1 when there is not enough memory.
extern "C" {
int forward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, false); }
int backward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, true); }
int size_of_a_number() { return sizeof(NUMBER); }
int lanes_of_a_vector() { return lanes<NUMBER>; }
}
