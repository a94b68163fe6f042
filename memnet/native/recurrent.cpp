// A layer of a recurrent network over whole sequences, forward and backward: an RNN, LSTM or GRU.
//
// The definition is the plain step in cells.py of memnet; this file computes the same. What is linear in the input is
// there already: recurrent.py makes it of all steps at once.

#include <memory>
#include <optional>
#include <vector>

#include "layers.h"
#include "projection.h"

namespace {

// Sizes and tensors, laid out as recurrent.py fills it in. Steps come first: (time, batch, features).
template <class Number> struct Problem {
    int64_t batch, time, size, layer;
    int64_t depth;                // time + 1 to keep every cell for the backward pass, else 2
    int64_t row_step, time_step;  // of features and their gradient
    const int64_t* lengths;       // or null
    const Number *weight, *bias;  // (gates * size, size); of the hidden state's part of a GRU, (3 * size), or null
    const Number* const* first;   // the state given: hidden, cell
    Number* const* last;          // the state returned
    Number* units;                // (time, batch, units), forward from the input's part to what a backward pass needs
    Number *hidden, *cell;        // (time + 1, batch, size), (depth, batch, size)
    Number* features;             // (batch, time, size) by the steps above, zero past the end of a row; or null
    const Number *d_features, *d_above;  // gradients from here on, the second (time, batch, size); or null
    const Number* const* d_last;
    Number *d_units, *d_bias;  // of every unit at every step, and of all steps together
    Number* const* d_first;
    // Of one sequence alone, which comes with all that a layer sees: so many numbers of the input and of the layer below,
    // whose steps are so far apart, and the weights of both (units, inputs + belows).
    int64_t inputs, belows, below_step;
    const Number *input, *below, *seen_weight, *seen_bias;
    Number* operand;               // (time + 1, inputs + belows + size), and a vector behind it
    const Number* recalled_bias;   // of the hidden state's part, or null
    Number *d_seen_weight, *d_weight, *d_seen_bias, *d_recalled_bias;  // or null
    Number *d_input, *d_below;  // the first is added to; or null
};

// The product with a weight matrix as torch keeps it, (out, in), or, transposed, with (in, out): packed where it is used
// often enough to be worth it.
template <class Number> struct Product {
    typedef Lanes<Number> Vec;
    static constexpr int L = lanes<Number>;
    const Number* weight;
    int64_t in, out;
    bool transposed;
    std::optional<Panels<Number>> packed;

    Product(const Number* weight, int64_t in, int64_t out, bool transposed, int64_t rows, int64_t times)
        : weight(weight), in(in), out(out), transposed(transposed) {
        if (rows >= rows_at_once && rows * times >= 16 * rows_at_once)
            packed.emplace(in, out, weight, transposed ? out : 1, transposed ? 1 : in, nullptr);
    }

    // output += input W, for rows that follow each other.
    void add(int64_t rows, const Number* input, Number* output) const {
        if (packed)
            packed->apply(rows, input, in, output, out, [&](int64_t row, int64_t j) {
                return load(output + row * out + j * L, out - j * L);
            });
        else if (transposed)
            in_tiles<8>(in, [&](auto count, int64_t i) { add_rows<count>(rows, i, input, output); });
        else in_tiles<L>(out, [&](auto count, int64_t j) { add_sums<count>(rows, j, input, output); });
    }

    // What some rows of the matrix (in, out) bring, each times a number of the input.
    template <int count> void add_rows(int64_t rows, int64_t i, const Number* input, Number* output) const {
        for (int64_t row = 0; row < rows; row++, output += out) {
            Vec times[count];
            for (int part = 0; part < count; part++) times[part] = all(input[row * in + i + part]);
            in_vectors<Number>(out, [&](int64_t at, int64_t n) {
                Vec total = load(output + at, n);
                for (int part = 0; part < count; part++) total += times[part] * load(weight + (i + part) * out + at, n);
                store(output + at, total, n);
            });
        }
    }

    // Some outputs, each the sum of the products of a row of the matrix (out, in) with the input.
    template <int count> void add_sums(int64_t rows, int64_t j, const Number* input, Number* output) const {
        const Number* from = weight + j * in;
        const int64_t whole = in / L * L;
        for (int64_t row = 0; row < rows; row++, input += in) {
            Vec parts[L]{}, total{};
            for (int64_t at = 0; at < whole; at += L) {
                const Vec one = load(input + at);
                for (int part = 0; part < count; part++) parts[part] += one * load(from + part * in + at);
            }
            for (int64_t at = whole; at < in; at++)
                for (int part = 0; part < count; part++) total[part] += input[at] * from[part * in + at];
            total += sums<Number>(parts);
            for (int part = 0; part < count; part++) output[row * out + j + part] += total[part];
        }
    }
};

template <class Number> struct Sequence : Problem<Number> {
    typedef Problem<Number> P;
    using P::batch, P::time, P::size, P::layer, P::lengths, P::depth, P::units, P::hidden;

    explicit Sequence(const P& problem) : P(problem) {}

    const int64_t width = gates_of(layer) * size;
    // Units to which the hidden state brings something: a GRU's candidate has its own, the fourth.
    const int64_t recalled = layer == gru ? 3 * size : width;

    bool active(int64_t row, int64_t step) const { return !lengths || step < lengths[row]; }
    Number* units_of(int64_t step, int64_t row) const { return units + (step * batch + row) * width; }
    Number* d_units_of(int64_t step, int64_t row) const { return P::d_units + (step * batch + row) * width; }
    Number* hidden_of(int64_t step, int64_t row) const { return hidden + (step * batch + row) * size; }
    Number* cell_of(int64_t step, int64_t row) const {
        return layer == lstm ? P::cell + (step % depth * batch + row) * size : nullptr;
    }
    int64_t feature_of(int64_t step, int64_t row) const { return row * P::row_step + step * P::time_step; }

    void forward() const {
        const Product<Number> product(P::weight, size, recalled, false, batch, time);
        std::vector<Number> apart(layer == gru ? batch * recalled : 0);
        std::copy_n(P::first[0], batch * size, hidden);
        if (layer == lstm) std::copy_n(P::first[1], batch * size, P::cell);
        for (int64_t step = 0; step < time; step++) {
            recall(step, product, apart.data());
            for (int64_t row = 0; row < batch; row++) {
                Number* next = hidden_of(step + 1, row);
                const bool going = active(row, step);
                if (going)
                    move_layer<Number>(layer, size, units_of(step, row), hidden_of(step, row), cell_of(step, row),
                                       cell_of(step + 1, row), next);
                else {
                    std::copy_n(hidden_of(step, row), size, next);
                    if (layer == lstm) std::copy_n(cell_of(step, row), size, cell_of(step + 1, row));
                }
                if (!P::features) continue;
                if (going) std::copy_n(next, size, P::features + feature_of(step, row));
                else std::fill_n(P::features + feature_of(step, row), size, Number(0));
            }
        }
        std::copy_n(hidden_of(time, 0), batch * size, P::last[0]);
        if (layer == lstm) std::copy_n(cell_of(time, 0), batch * size, P::last[1]);
    }

    // Adds the hidden state's part to a step's units.
    void recall(int64_t step, const Product<Number>& product, Number* apart) const {
        if (layer != gru) return product.add(batch, hidden_of(step, 0), units_of(step, 0));
        for (int64_t row = 0; row < batch; row++)
            if (P::bias) std::copy_n(P::bias, recalled, apart + row * recalled);
            else std::fill_n(apart + row * recalled, recalled, Number(0));
        product.add(batch, hidden_of(step, 0), apart);
        for (int64_t row = 0; row < batch; row++, apart += recalled) {
            Number* to = units_of(step, row);
            for (int64_t at = 0; at < 2 * size; at++) to[at] += apart[at];
            std::copy_n(apart + 2 * size, size, to + 3 * size);
        }
    }

    void backward() const {
        const Product<Number> product(P::weight, recalled, size, true, batch, time);
        std::vector<Number> d_hidden(batch * size), d_cell(batch * size), apart(layer == gru ? batch * recalled : 0);
        std::fill_n(P::d_bias, width, Number(0));
        if (P::d_last[0]) std::copy_n(P::d_last[0], batch * size, d_hidden.data());
        if (layer == lstm && P::d_last[1]) std::copy_n(P::d_last[1], batch * size, d_cell.data());
        for (int64_t step = time - 1; step >= 0; step--) {
            for (int64_t row = 0; row < batch; row++) {
                Number *d_next = d_hidden.data() + row * size, *d_unit = d_units_of(step, row);
                if (!active(row, step)) {
                    std::fill_n(d_unit, width, Number(0));
                    continue;
                }
                if (P::d_features) accumulate(size, P::d_features + feature_of(step, row), d_next);
                if (P::d_above) accumulate(size, P::d_above + (step * batch + row) * size, d_next);
                // An RNN's units are its next hidden state.
                const Number* unit = layer == lstm || layer == gru ? units_of(step, row) : hidden_of(step + 1, row);
                move_layer_backward<Number>(layer, size, unit, hidden_of(step, row), cell_of(step, row),
                                            hidden_of(step + 1, row), d_next, d_cell.data() + row * size, d_unit);
                accumulate(width, d_unit, P::d_bias);
            }
            product.add(batch, layer == gru ? without_candidates(step, apart.data()) : d_units_of(step, 0), d_hidden.data());
        }
        if (P::d_first[0]) std::copy_n(d_hidden.data(), batch * size, P::d_first[0]);
        if (layer == lstm && P::d_first[1]) std::copy_n(d_cell.data(), batch * size, P::d_first[1]);
    }

    static void accumulate(int64_t count, const Number* from, Number* to) {
        for (int64_t at = 0; at < count; at++) to[at] += from[at];
    }

    // The gradients of those of a GRU's units that the hidden state brings.
    const Number* without_candidates(int64_t step, Number* to) const {
        for (int64_t row = 0; row < batch; row++) {
            const Number* from = d_units_of(step, row);
            std::copy_n(from, 2 * size, to + row * recalled);
            std::copy_n(from + 3 * size, size, to + row * recalled + 2 * size);
        }
        return to;
    }

    void run(bool back) const { back ? backward() : forward(); }
};

// One sequence: what a step sees is one row, and so are its weights.
template <class Number> struct Single : Problem<Number> {
    typedef Problem<Number> P;
    using P::time, P::size, P::layer, P::inputs, P::belows, P::operand;

    explicit Single(const P& problem) : P(problem) {}

    const int64_t width = gates_of(layer) * size, seen = inputs + belows, features = seen + size;
    const int64_t going = P::lengths ? P::lengths[0] : time;

    Number* operand_of(int64_t step) const { return operand + step * features; }
    Number* hidden_of(int64_t step) const { return operand_of(step) + seen; }
    Number* cell_of(int64_t step) const { return layer == lstm ? P::cell + step % P::depth * size : nullptr; }

    Projection<Number> projection(bool back) const {
        // The hidden state's part of a GRU's candidate is a gate of its own.
        const int64_t apart = layer == gru ? size : 0, joint = width - apart - apart;
        std::vector<Block<Number>> blocks{{0, width - apart, 0, seen, P::seen_weight, P::d_seen_weight},
                                          {0, joint, seen, size, P::weight, P::d_weight}};
        std::vector<Bias<Number>> biases{{0, width - apart, P::seen_bias, P::d_seen_bias}};
        auto from = [](auto* numbers, int64_t first) { return numbers ? numbers + first : nullptr; };
        if (P::recalled_bias) biases.push_back({0, joint, P::recalled_bias, P::d_recalled_bias});
        if (apart) {
            blocks.push_back({3 * size, size, seen, size, P::weight + joint * size, from(P::d_weight, joint * size)});
            if (P::recalled_bias)
                biases.push_back({3 * size, size, P::recalled_bias + joint, from(P::d_recalled_bias, joint)});
        }
        return Projection<Number>(features, width, std::move(blocks), std::move(biases), back, false);
    }

    void forward() const {
        const Projection<Number> product = projection(false);
        std::copy_n(P::first[0], size, hidden_of(0));
        if (layer == lstm) std::copy_n(P::first[1], size, P::cell);
        for (int64_t step = 0; step < time; step++) {
            Number *from = operand_of(step), *next = hidden_of(step + 1), *unit = P::units + step * width;
            std::copy_n(P::input + step * inputs, inputs, from);
            std::copy_n(P::below + step * P::below_step, belows, from + inputs);
            if (step < going) {
                product.apply(1, from, features, unit, width);
                move_layer<Number>(layer, size, unit, from + seen, cell_of(step), cell_of(step + 1), next);
            } else {
                std::copy_n(from + seen, size, next);
                if (layer == lstm) std::copy_n(cell_of(step), size, cell_of(step + 1));
            }
            if (!P::features) continue;
            if (step < going) std::copy_n(next, size, P::features + step * P::time_step);
            else std::fill_n(P::features + step * P::time_step, size, Number(0));
        }
        std::copy_n(hidden_of(time), size, P::last[0]);
        if (layer == lstm) std::copy_n(cell_of(time), size, P::last[1]);
    }

    void backward() const {
        const Projection<Number> product = projection(true);
        const int64_t room = features + lanes<Number>;
        std::vector<Number> d_hidden(size), d_cell(size), d_operand(room);
        std::unique_ptr<Number[]> d_units(new Number[time * width + rows_at_once]);
        if (P::d_last[0]) std::copy_n(P::d_last[0], size, d_hidden.data());
        if (layer == lstm && P::d_last[1]) std::copy_n(P::d_last[1], size, d_cell.data());
        for (int64_t step = time - 1; step >= 0; step--) {
            Number* d_unit = d_units.get() + step * width;
            if (step >= going) {
                std::fill_n(d_unit, width, Number(0));
                if (P::d_below) std::fill_n(P::d_below + step * belows, belows, Number(0));
                continue;
            }
            if (P::d_features) Sequence<Number>::accumulate(size, P::d_features + step * P::time_step, d_hidden.data());
            if (P::d_above) Sequence<Number>::accumulate(size, P::d_above + step * size, d_hidden.data());
            move_layer_backward<Number>(layer, size, P::units + step * width, hidden_of(step), cell_of(step),
                                        hidden_of(step + 1), d_hidden.data(), d_cell.data(), d_unit);
            product.apply(1, d_unit, width, d_operand.data(), room);
            Sequence<Number>::accumulate(size, d_operand.data() + seen, d_hidden.data());
            if (P::d_input) Sequence<Number>::accumulate(inputs, d_operand.data(), P::d_input + step * inputs);
            if (P::d_below) std::copy_n(d_operand.data() + inputs, belows, P::d_below + step * belows);
        }
        product.add_gradients(time, 1, d_units.get(), width, {operand, features, features}, false);
        product.give_gradients();
        if (P::d_first[0]) std::copy_n(d_hidden.data(), size, P::d_first[0]);
        if (layer == lstm && P::d_first[1]) std::copy_n(d_cell.data(), size, P::d_first[1]);
    }

    void run(bool back) const { back ? backward() : forward(); }
};

}  // namespace

extern "C" {
int forward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, false); }
int backward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, true); }
int forward_single(const Problem<NUMBER>* problem) { return run<Single<NUMBER>>(*problem, false); }
int backward_single(const Problem<NUMBER>* problem) { return run<Single<NUMBER>>(*problem, true); }
int size_of_a_number() { return sizeof(NUMBER); }
}
