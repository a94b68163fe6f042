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

// A weight matrix (unit, feature) for one row at a time, each unit's weights in vectors of their own: as fast as it comes
// from the second cache.
template <class Number> struct Rows {
    typedef Lanes<Number> Vec;
    static constexpr int L = lanes<Number>;
    int64_t features, units, vectors = (features + L - 1) / L;
    std::unique_ptr<Vec[]> packed{new Vec[units * vectors]()};

    Rows(int64_t features, int64_t units) : features(features), units(units) {}

    void fill(const Block<Number>& one) {
        for (int64_t unit = 0; unit < one.units; unit++)
            std::copy_n(one.weight + unit * one.features, one.features,
                        (Number*)(packed.get() + (one.unit + unit) * vectors) + one.feature);
    }

    // output(u) += sum_f weight(u, f) input(f)
    void forward(const Number* input, Number* output) const {
        in_tiles<L>(units, [&](auto count, int64_t first) {
            dot<count>(packed.get() + first * vectors, input, output + first);
        });
    }
    template <int count> void dot(const Vec* from, const Number* input, Number* output) const {
        const int64_t whole = features / L;
        Vec total[L]{};
        for (int64_t at = 0; at < whole; at++) {
            const Vec seen = load(input + at * L);
            for (int unit = 0; unit < count; unit++) total[unit] += from[unit * vectors + at] * seen;
        }
        if (whole < vectors) {
            const Vec seen = load(input + whole * L, features - whole * L);
            for (int unit = 0; unit < count; unit++) total[unit] += from[unit * vectors + whole] * seen;
        }
        store(output, load(output, count) + sums<Number>(total), count);
    }

    // output(f) = sum_u weight(u, f) input(u)
    void backward(const Number* input, Number* output) const {
        in_tiles<8>(vectors, [&](auto count, int64_t first) {
            add_up<count>(packed.get() + first, input, output + first * L, features - first * L);
        });
    }
    template <int count> void add_up(const Vec* from, const Number* input, Number* output, int64_t room) const {
        constexpr int ways = 8 / count;  // as many sums as additions are under way at a time
        Vec total[ways][count]{};
        int64_t unit = 0;
        for (; unit + ways <= units; unit += ways)
            for (int way = 0; way < ways; way++, from += vectors)
                for (int part = 0; part < count; part++) total[way][part] += input[unit + way] * from[part];
        for (; unit < units; unit++, from += vectors)
            for (int part = 0; part < count; part++) total[0][part] += input[unit] * from[part];
        for (int part = 0; part < count; part++) {
            for (int way = 1; way < ways; way++) total[0][part] += total[way][part];
            store(output + part * L, total[0][part], room - part * L);
        }
    }
};

// What a projection saw at some steps, or the gradient of what it gave: rows of so many numbers, steps so far apart.
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

    // gradient(unit, feature) = sum over steps and rows of given(unit) seen(feature), or more of it.
    template <int units, int vectors>
    static void tile(int64_t steps, int64_t rows, Seen<Number> given, Seen<Number> seen, Number* gradient,
                     int64_t features, int64_t room, bool more) {
        Lanes<Number> total[units][vectors]{};
        for (int64_t step = 0; step < steps; step++) {
            const Number *row = given.numbers + step * given.step, *with = seen.numbers + step * seen.step;
            for (int64_t left = rows; left > 0; left--, row += given.width, with += seen.width) {
                Lanes<Number> value[vectors];
                for (int part = 0; part < vectors; part++) value[part] = load(with + part * L);
                for (int unit = 0; unit < units; unit++)
                    for (int part = 0; part < vectors; part++) total[unit][part] += row[unit] * value[part];
            }
        }
        for (int unit = 0; unit < units; unit++)
            for (int part = 0; part < vectors; part++) {
                Number* to = gradient + unit * features + part * L;
                store(to, more ? load(to, room - part * L) + total[unit][part] : total[unit][part], room - part * L);
            }
    }

public:
    Projection(int64_t in, int64_t out, std::vector<Block<Number>> blocks, std::vector<Bias<Number>> biases,
               bool backward, bool several_rows)
        : in(in), out(out), blocks(std::move(blocks)), biases(std::move(biases)), backward(backward) {
        if (!several_rows) {
            rows.reset(new Rows<Number>(in, out));
            for (const Block<Number>& one : this->blocks) rows->fill(one);
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
        for (int64_t row = 0; row < count; row++, input += input_stride, output += stride) {
            if (backward) {
                rows->backward(input, output);
                continue;
            }
            std::fill_n(output, out, Number(0));
            for (const Bias<Number>& one : biases)
                for (int64_t at = 0; at < one.units; at++) output[one.unit + at] += one.values[at];
            rows->forward(input, output);
        }
    }

    // Gradients of weights and biases from some steps of some rows: `more` adds them to what is there. A vector's numbers
    // behind a row of what was seen may be anything, but must be there.
    void gradients(int64_t steps, int64_t rows, Seen<Number> given, Seen<Number> seen, bool more) const {
        for (const Block<Number>& one : blocks) {
            if (!one.gradient) continue;
            auto from = [&](Seen<Number> all, int64_t first) {
                return Seen<Number>{all.numbers + first, all.width, all.step};
            };
            auto part = [&](auto vectors, int64_t at) {
                in_tiles<rows_at_once>(one.units, [&](auto units, int64_t unit) {
                    tile<units, vectors>(steps, rows, from(given, one.unit + unit), from(seen, one.feature + at * L),
                                         one.gradient + unit * one.features + at * L, one.features,
                                         one.features - at * L, more);
                });
            };
            // Three vectors at a time, and rather twice two than three and one.
            for (int64_t at = 0, left = (one.features + L - 1) / L; left > 0;) {
                const int64_t count = left == 4 ? 2 : std::min<int64_t>(left, 3);
                if (count == 3) part(Constant<3>(), at);
                else if (count == 2) part(Constant<2>(), at);
                else part(Constant<1>(), at);
                at += count;
                left -= count;
            }
        }
        for (const Bias<Number>& one : biases) {
            if (!one.gradient) continue;
            in_vectors<Number>(one.units, [&](int64_t at, int64_t n) {
                Lanes<Number> total = more ? load(one.gradient + at, n) : Lanes<Number>{};
                for (int64_t step = 0; step < steps; step++)
                    for (int64_t row = 0; row < rows; row++)
                        total += load(given.numbers + step * given.step + row * given.width + one.unit + at, n);
                store(one.gradient + at, total, n);
            });
        }
    }
};

}  // namespace
