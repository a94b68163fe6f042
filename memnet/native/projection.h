// Linear layers in blocks of weights as torch has them, at each step for some rows, and their gradients.

#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "numbers.h"

namespace {

// The units from one on see the features from one on by these weights (unit, feature); null for no gradient.
template <class Number> struct Block {
    int64_t unit, units, feature, features;
    const Number* weight;
    Number* gradient;
};

// What is added to the units from one on.
template <class Number> struct Bias {
    int64_t unit, units;
    const Number* values;
    Number* gradient;
};

// A weight matrix (in, out) for one row at a time, in tiles of vectors of outputs that lie one behind the other: as fast
// as it comes from the second cache.
template <class Number> struct Rows {
    typedef Lanes<Number> Vec;
    static constexpr int L = lanes<Number>, most = 8;
    int64_t in, out, vectors = (out + L - 1) / L, tiles = (vectors + most - 1) / most;
    std::unique_ptr<Vec[]> packed{new Vec[in * vectors]};
    std::unique_ptr<Vec[]> start{new Vec[vectors]()};  // what is added to every output

    // whole: whether all will be filled in; what is not is zero.
    Rows(int64_t in, int64_t out, bool whole) : in(in), out(out) {
        if (!whole) std::fill_n(packed.get(), in * vectors, Vec{});
    }

    int64_t tile_at(int64_t tile) const { return tile * vectors / tiles; }

    // Calls function(vector, first of its lanes, how many, their place in the first row, numbers from row to row) for the
    // outputs from one on.
    template <class Function> void each_vector(int64_t first, int64_t count, Function function) const {
        for (int64_t tile = 0; tile < tiles; tile++)
            for (int64_t at = tile_at(tile), end = tile_at(tile + 1); at < end; at++) {
                const int64_t low = std::max(first, at * L), high = std::min(first + count, (at + 1) * L);
                if (low >= high) continue;
                Vec* place = packed.get() + tile_at(tile) * in + at - tile_at(tile);
                function(low, high - low, (Number*)place + low % L, (end - tile_at(tile)) * L);
            }
    }

    // From units to the features that they saw.
    void fill(const Block<Number>& one) {
        each_vector(one.feature, one.features, [&](int64_t low, int64_t count, Number* to, int64_t step) {
            const Number* from = one.weight + low - one.feature;
            to += one.unit * step;
            for (int64_t unit = 0; unit < one.units; unit++, to += step, from += one.features)
                store(to, load(from, count), count);
        });
    }
    // From features to units.
    void fill_turned(const Block<Number>& one) {
        each_vector(one.unit, one.units, [&](int64_t low, int64_t count, Number* to, int64_t step) {
            const Number* from = one.weight + (low - one.unit) * one.features;
            to += one.feature * step;
            in_vectors<Number>(one.features, [&](int64_t at, int64_t n) {
                Vec rows[L]{};
                for (int64_t unit = 0; unit < count; unit++) rows[unit] = load(from + unit * one.features + at, n);
                turn<Number>(rows);
                for (int64_t feature = 0; feature < std::min<int64_t>(n, L); feature++, to += step)
                    store(to, rows[feature], count);
            });
        });
    }
    void add(const Bias<Number>& one) {
        for (int64_t at = 0; at < one.units; at++) ((Number*)start.get())[one.unit + at] += one.values[at];
    }

    // output(j) = start(j) + sum_i input(i) matrix(i, j)
    void apply(const Number* input, Number* output) const {
        for (int64_t tile = 0; tile < tiles; tile++) {
            const int64_t at = tile_at(tile);
            multiply<most>(tile_at(tile + 1) - at, at, input, output);
        }
    }
    template <int count> void multiply(int64_t width, int64_t at, const Number* input, Number* output) const {
        if constexpr (count > 1)
            if (width < count) return multiply<count - 1>(width, at, input, output);
        constexpr int ways = (7 + count) / count;  // as many sums as additions are under way at a time
        const Vec* from = packed.get() + at * in;
        Vec total[ways][count]{};
        int64_t i = 0;
        for (; i + ways <= in; i += ways)
            for (int way = 0; way < ways; way++, from += count)
                for (int part = 0; part < count; part++) total[way][part] += input[i + way] * from[part];
        for (; i < in; i++, from += count)
            for (int part = 0; part < count; part++) total[0][part] += input[i] * from[part];
        for (int part = 0; part < count; part++) {
            for (int way = 1; way < ways; way++) total[0][part] += total[way][part];
            const int64_t first = (at + part) * L;
            store(output + first, start[at + part] + total[0][part], out - first);
        }
    }
};

// What a projection saw at some steps: rows of so many numbers, steps so far apart.
template <class Number> struct Seen {
    const Number* numbers;
    int64_t width, step;
};

template <class Number> class Projection {
    static constexpr int L = lanes<Number>;
    int64_t in, out;
    std::vector<Block<Number>> blocks;
    std::vector<Bias<Number>> biases;
    bool backward;
    std::unique_ptr<Panels<Number>> panels;  // where several rows are computed together
    std::unique_ptr<Rows<Number>> rows;      // where not

    // Backward, gradients of weights, (out, in) in whole vectors, and of biases; what is no weight's may be anything.
    const int64_t vectors = (in + L - 1) / L;
    std::unique_ptr<Lanes<Number>[]> d_weights, d_biases;

    // to(unit, feature) = sum over rows of given(unit) seen(feature), or more of it, for as many units as rows at once.
    template <int count>
    void tile(int64_t rows, const Number* given, int64_t width, const Lanes<Number>* seen, Lanes<Number>* to, bool more) const {
        constexpr int units = rows_at_once;
        Lanes<Number> total[units][count];
        for (int unit = 0; unit < units; unit++)
            for (int part = 0; part < count; part++) total[unit][part] = more ? to[unit * vectors + part] : Lanes<Number>{};
        multiply(rows, given, 1, width, seen, count, total);
        for (int unit = 0; unit < units; unit++)
            for (int part = 0; part < count; part++) to[unit * vectors + part] = total[unit][part];
    }

    // Whether any weights between these units and features want a gradient.
    bool wanted(int64_t unit, int64_t units, int64_t feature, int64_t features) const {
        for (const Block<Number>& one : blocks)
            if (one.gradient && one.unit < unit + units && unit < one.unit + one.units &&
                one.feature < feature + features && feature < one.feature + one.features) return true;
        return false;
    }

public:
    Projection(int64_t in, int64_t out, std::vector<Block<Number>> blocks, std::vector<Bias<Number>> biases,
               bool backward, bool several_rows)
        : in(in), out(out), blocks(std::move(blocks)), biases(std::move(biases)), backward(backward) {
        if (backward) {
            d_weights.reset(new Lanes<Number>[(out + rows_at_once - 1) / rows_at_once * rows_at_once * vectors]);
            d_biases.reset(new Lanes<Number>[(out + L - 1) / L]);
        }
        if (!several_rows) {
            int64_t filled = 0;
            for (const Block<Number>& one : this->blocks) filled += one.units * one.features;
            const bool whole = filled == in * out;
            rows.reset(backward ? new Rows<Number>(out, in, whole) : new Rows<Number>(in, out, whole));
            for (const Block<Number>& one : this->blocks) backward ? rows->fill(one) : rows->fill_turned(one);
            if (!backward) for (const Bias<Number>& one : this->biases) rows->add(one);
            return;
        }
        panels.reset(backward ? new Panels<Number>(out, in) : new Panels<Number>(in, out));
        for (const Block<Number>& one : this->blocks)
            if (backward) panels->fill(one.unit, one.units, one.feature, one.features, one.weight, one.features, 1);
            else panels->fill(one.feature, one.features, one.unit, one.units, one.weight, 1, one.features);
        if (!backward) for (const Bias<Number>& one : this->biases) panels->add_bias(one.unit, one.units, one.values);
    }

    // Of rows of a batch what they give, or backward, from that gradient, the gradient of what they saw. Of an output
    // row's `stride` numbers those after the last may become 0.
    void apply(int64_t count, const Number* input, int64_t input_stride, Number* output, int64_t stride) const {
        if (panels) return panels->apply(count, input, input_stride, output, stride);
        for (int64_t row = 0; row < count; row++, input += input_stride, output += stride) rows->apply(input, output);
    }

    // Gradients of weights and biases from some steps of some rows: `more` adds them to those before. The steps of what is
    // given follow each other. A vector's numbers behind a row of what was seen may be anything, but must be there, and so
    // must as many as there are rows at once behind the last of what was given.
    void add_gradients(int64_t steps, int64_t rows, const Number* given, int64_t width, Seen<Number> seen, bool more) const {
        // End to end, for steps so far apart push each other out of the first cache.
        std::unique_ptr<Lanes<Number>[]> room(new Lanes<Number>[steps * rows * vectors_at_once]);
        auto part = [&](auto count, int64_t at) {
            Lanes<Number>* to = room.get();
            for (int64_t step = 0; step < steps; step++)
                for (int64_t row = 0; row < rows; row++)
                    for (int one = 0; one < count; one++)
                        *to++ = load(seen.numbers + step * seen.step + row * seen.width + (at + one) * L);
            for (int64_t unit = 0; unit < out; unit += rows_at_once)
                if (wanted(unit, rows_at_once, at * L, count * L))
                    tile<count>(steps * rows, given + unit, width, room.get(), &d_weights[unit * vectors + at], more);
        };
        // Three vectors at a time, and rather twice two than three and one.
        for (int64_t at = 0, left = vectors; left > 0;) {
            const int64_t count = left == 4 ? 2 : std::min<int64_t>(left, 3);
            if (count == 3) part(Constant<3>(), at);
            else if (count == 2) part(Constant<2>(), at);
            else part(Constant<1>(), at);
            at += count;
            left -= count;
        }
        for (int64_t at = 0; !biases.empty() && at < out; at += L) {
            Lanes<Number> total = more ? d_biases[at / L] : Lanes<Number>{};
            for (int64_t row = 0; row < steps * rows; row++) total += load(given + row * width + at, out - at);
            d_biases[at / L] = total;
        }
    }

    // Writes them where they are asked for.
    void give_gradients() const {
        for (const Block<Number>& one : blocks)
            for (int64_t unit = 0; one.gradient && unit < one.units; unit++)
                std::copy_n((const Number*)&d_weights[(one.unit + unit) * vectors] + one.feature, one.features,
                            one.gradient + unit * one.features);
        for (const Bias<Number>& one : biases)
            if (one.gradient) std::copy_n((const Number*)d_biases.get() + one.unit, one.units, one.gradient);
    }
};

}  // namespace
