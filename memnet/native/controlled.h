// A controller over whole sequences, forward and backward, that sees what it has read from a memory of another class.
//
// The definition is the plain step in controlled.py and cells.py of memnet; this file computes the same.

#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "layers.h"
#include "projection.h"
#include "slots.h"

namespace {

// Sizes and tensors, laid out as controlled.py fills it in; those of a memory's own come after them.
// There are layers + deep + 1 projections: one for each layer of the controller, and the one that steers the memory; between
// them, where there are any, one for each of `deep` layers (ReLU) of deep_size units above the controller. What steers
// then has a part that sees these, by a matrix of its own, the last of the tables, behind the `steered` numbers that
// come of the controller's output. A state is a table of tensors: each layer's hidden (and cell), then what was read, and then the memory's own.
template <class Number> struct Problem {
    int64_t batch, time, input_size, layers, hidden_size, controller, slots, width, reads, writes;
    int64_t keep;     // whether every step is kept for the backward pass
    int64_t segment;  // steps between checkpoints of the memory
    int64_t deep, deep_size, steered;
    double norm_floor;
    const int64_t* lengths;  // or null
    const Number* input;     // (batch, time, input_size)
    // Of each projection, as torch has them, for what it sees from below, and for a layer's own hidden state; or null.
    const Number *const *weight, *const *bias, *const *recurrent, *const *recurrent_bias;
    const Number* const* first;  // the state given
    Number* const* last;         // the state returned
    Number* features;            // (batch, time, hidden_size + reads * width)
    Number* room;                // for what is kept of the steps, see numbers_of_room; or null
    const Number* d_features;    // gradients from here on; null for none
    const Number* const* d_last;
    Number* d_input;
    Number *const *d_weight, *const *d_bias, *const *d_recurrent, *const *d_recurrent_bias;
    Number* const* d_first;
};

// What the memory of one row does in a step. Where nothing is kept, it changes in place: `after` is `before`.
template <class Number> struct Step {
    Lanes<Number> *before, *after, *rest;  // its state, and whatever else a backward pass needs
    Lanes<Number>* kept;                   // what is kept of it from the forward pass, not computed again
    const Number* emitted;                 // what steers it, and that squashed into its range
    Number* parameters;
    int64_t step, row;
};

// Memory: the class that takes after this one. It tells
//     emitted:                how many numbers steer it.
//     state_size, rest_size:  vectors of its state, and of the rest of a step, computed again if not kept.
//     kept_size:              vectors of a step that are kept for the backward pass.
//     Room:                   a class of what a step needs and nobody else, made of a Memory.
//     gather, scatter:        a row of its tensors (or null) to a state, and back.
//     squash:                 fills a step's parameters.
//     move:                   a step; writes what is read to an address, or, where that is null, does it again with
//                             what was kept.
//     move_backward:          from the gradients of what is read and of the state after it (in place) to those of what
//                             is emitted and of the state before it.
// One that rolls back (`rolls_back`) has its state in tensors of its own, which a step changes in place, and
// `move_backward` changes back. It tells of its own, too, how much of its state is saved and has gradients
// (`saved_size`, `gradient_size`), and how these are gathered and scattered.
template <class Number, class Told, class Memory>
class Controlled : protected Slots<Number, Told> {
protected:
    typedef Lanes<Number> Vec;
    typedef Told P;
    using P::batch, P::time, P::input_size, P::layers, P::hidden_size, P::controller, P::width, P::reads;
    using P::segment, P::lengths, P::deep, P::deep_size;
    static constexpr int L = lanes<Number>;
    static constexpr bool rolls_back = false;

    const int64_t recurrent = controller != feedforward, leaves = recurrent + (controller == lstm);
    const int64_t gates = gates_of(controller), table = layers * leaves, last = layers + deep, depth = P::keep ? time + 1 : 2;

    // What is kept, (step, row), rows in whole vectors: what each projection saw (the last of them, of a recurrent
    // controller, what its last layer's next step does), and gave, as far as the next layer does not see all of it; an
    // LSTM's cells; what steers the memory, squashed; checkpoints of the memory, and whatever else it keeps of a step.
    std::vector<Number*> operand, units, cell;
    Number *parameters = nullptr, *saved = nullptr, *kept = nullptr;

    const Memory& memory() const { return static_cast<const Memory&>(*this); }
    int64_t saved_size() const { return memory().state_size; }
    int64_t gradient_size() const { return memory().state_size; }
    void gather_gradient(const Number* const* state, int64_t row, Vec* to) const { memory().gather(state, row, to); }
    void scatter_gradient(const Vec* from, Number* const* state, int64_t row) const { memory().scatter(from, state, row); }
    int64_t features(int64_t layer) const {
        if (layer >= layers) return (layer == last || layer == layers) * hidden_size + (layer > layers) * deep_size;
        return (layer ? hidden_size : input_size + reads * width) + recurrent * hidden_size;
    }
    int64_t below(int64_t layer) const { return features(layer) - (layer < layers) * recurrent * hidden_size; }
    int64_t outputs(int64_t layer) const {
        return layer == last ? memory().emitted : layer < layers ? gates * hidden_size : deep_size;
    }
    static int64_t whole(int64_t numbers) { return (numbers + L - 1) / L * L; }
    // The layer whose operand begins with this one's, or, of a recurrent controller's last hidden state, ends so.
    bool recalled(int64_t layer) const { return layer == last && recurrent && !deep; }
    int64_t held_by(int64_t layer) const { return recalled(layer) ? layer - 1 : layer == layers ? last : layer; }
    int64_t operand_room(int64_t layer) const { return whole(features(held_by(layer))); }
    int64_t units_room(int64_t layer) const { return whole(outputs(layer)); }
    int64_t units_kept(int64_t layer) const { return layer == last || (layer < layers && gates > 1) ? depth - 1 : 1; }
    Number* operand_of(int64_t layer, int64_t step, int64_t row) const {
        if (recalled(layer)) return operand_of(layer - 1, step + 1, row) + below(layer - 1);
        return operand[held_by(layer)] + (step % depth * batch + row) * operand_room(layer);
    }
    // Where the units of a layer are seen from above.
    Number* above(int64_t layer, int64_t step, int64_t row) const {
        return operand_of(layer + 1, step, row) + (layer + 1 == last && deep ? hidden_size : 0);
    }
    Number* units_of(int64_t layer, int64_t step, int64_t row) const {
        return units[layer] + (step % units_kept(layer) * batch + row) * units_room(layer);
    }
    Number* parameters_of(int64_t step, int64_t row) const {
        return parameters + (step % (depth - 1) * batch + row) * memory().emitted;
    }
    Number* cell_of(int64_t layer, int64_t step, int64_t row) const {
        return cell[layer] + (step % depth * batch + row) * hidden_size;
    }
    Vec* saved_of(int64_t step, int64_t row) const {
        return (Vec*)saved + (step / segment * batch + row) * memory().saved_size();
    }
    Vec* kept_of(int64_t step, int64_t row) const {
        return (Vec*)kept + (step * batch + row) * memory().kept_size;
    }
    bool active(int64_t row, int64_t step) const { return !lengths || step < lengths[row]; }

    template <class Function> static void map(int64_t count, Function function) {
        in_vectors<Number>(count, function);
    }

    // Rows that go through time together: their memories, going back those of a segment's steps, stay in cache, and
    // weights serve several rows.
    int64_t rows_together(bool backward) const {
        const int64_t state = memory().state_size * vector_bytes, rest = memory().rest_size * vector_bytes;
        if (!backward || Memory::rolls_back) return std::clamp<int64_t>((1 << 19) / state, 1, 8);
        return std::clamp<int64_t>((11 << 17) / ((segment + 1) * state + segment * rest), 1, 4);
    }

    // Room for what a row's memory does: `count` steps whose states follow each other, or one that changes in place.
    struct Tape {
        std::unique_ptr<Vec[]> vectors;
        std::vector<Step<Number>> steps;
        Tape(const Memory& of, int64_t count, bool in_place) : steps(count) {
            const int64_t each = in_place ? 0 : of.state_size;
            vectors.reset(new Vec[of.state_size + count * (each + of.rest_size) + of.kept_size]);
            for (int64_t index = 0; index < count; index++) {
                steps[index].before = vectors.get() + index * each;
                steps[index].after = steps[index].before + each;
                steps[index].rest = vectors.get() + of.state_size + count * each + index * of.rest_size;
                steps[index].kept = vectors.get() + of.state_size + count * (each + of.rest_size);
            }
        }
    };

    // What the backward pass of one row carries from step to step.
    struct Gradient {
        std::vector<Vec> state;
        std::vector<Number> reads, hidden, cell;
        Gradient(const Controlled& of)
            : state(of.memory().gradient_size()), reads(of.reads * of.width), hidden(of.layers * of.hidden_size),
              cell(of.layers * of.hidden_size) {}
    };

    // ------------------------------------------------------------------------------------------ the controller

    // One layer's units, in place from their sums to what the backward pass needs, and its next hidden state.
    void control(int64_t layer, int64_t step, int64_t row) const {
        Number *next = above(layer, step, row), *unit = units_of(layer, step, row);
        if (layer >= layers) return move_layer<Number>(rnn_relu, deep_size, unit, nullptr, nullptr, nullptr, next);
        const bool cells = controller == lstm;
        move_layer<Number>(controller, hidden_size, unit, operand_of(layer, step, row) + below(layer),
                           cells ? cell_of(layer, step, row) : nullptr, cells ? cell_of(layer, step + 1, row) : nullptr, next);
        if (recurrent && !recalled(layer + 1))
            std::copy_n(next, hidden_size, operand_of(layer, step + 1, row) + below(layer));
    }

    // From the gradient of a layer's hidden state to that of its units' sums, and to what goes on to the step before.
    void control_backward(int64_t layer, int64_t step, int64_t row, Number* d_above, Gradient& carried,
                          Number* d_units) const {
        const Number* next = above(layer, step, row);
        if (layer >= layers)
            return move_layer_backward<Number>(rnn_relu, deep_size, next, nullptr, nullptr, next, d_above, nullptr, d_units);
        Number *d_hidden = carried.hidden.data() + layer * hidden_size, *d_cell = carried.cell.data() + layer * hidden_size;
        for (int64_t at = 0; at < hidden_size; at++) d_hidden[at] += d_above[at];
        move_layer_backward<Number>(controller, hidden_size, gates > 1 ? units_of(layer, step, row) : next,
                                    operand_of(layer, step, row) + below(layer),
                                    controller == lstm ? cell_of(layer, step, row) : nullptr, next, d_hidden, d_cell,
                                    d_units);
    }

    // ------------------------------------------------------------------------------------------ whole sequences

    typedef std::vector<Projection<Number>> Projections;
    Projections projections(bool backward) const {
        auto gradient = [&](Number* const* table, int64_t layer) { return table ? table[layer] : nullptr; };
        Projections result;
        for (int64_t layer = 0; layer <= last; layer++) {
            std::vector<Block<Number>> blocks;
            std::vector<Bias<Number>> biases;
            // Units from `unit` on take the rows of a matrix from `row` on.
            auto add = [&](int64_t unit, int64_t units, int64_t row, int64_t feature, int64_t features,
                           const Number* weight, Number* d_weight, const Number* bias, Number* d_bias) {
                d_weight = d_weight ? d_weight + row * features : nullptr;
                blocks.push_back({unit, units, feature, features, weight + row * features, d_weight});
                if (bias) biases.push_back({unit, units, bias + row, d_bias ? d_bias + row : nullptr});
            };
            const bool apart = layer < layers && controller == gru;
            const bool split = layer == last && deep;
            const int64_t size = hidden_size, all = split ? P::steered : outputs(layer) - apart * size;
            add(0, all, 0, 0, split ? size : below(layer), P::weight[layer], gradient(P::d_weight, layer), P::bias[layer],
                gradient(P::d_bias, layer));
            if (split)
                add(all, outputs(layer) - all, 0, size, deep_size, P::weight[last + 1], gradient(P::d_weight, last + 1),
                    P::bias[last + 1], gradient(P::d_bias, last + 1));
            auto recall = [&](int64_t unit, int64_t units, int64_t row) {
                add(unit, units, row, below(layer), size, P::recurrent[layer], gradient(P::d_recurrent, layer),
                    P::recurrent_bias[layer], gradient(P::d_recurrent_bias, layer));
            };
            if (layer < layers && recurrent) recall(0, apart ? 2 * size : all, 0);
            // The hidden state's part of a GRU's candidate is a gate of its own.
            if (apart) recall(3 * size, size, 2 * size);
            result.emplace_back(features(layer), outputs(layer), std::move(blocks), std::move(biases), backward, batch > 1);
        }
        return result;
    }

    void start(int64_t row, Vec* state) const {
        for (int64_t layer = 0; recurrent && layer < layers; layer++) {
            const Number* const* given = P::first + layer * leaves;
            std::copy_n(given[0] + row * hidden_size, hidden_size, operand_of(layer, 0, row) + below(layer));
            if (controller == lstm) std::copy_n(given[1] + row * hidden_size, hidden_size, cell_of(layer, 0, row));
        }
        const int64_t size = reads * width;
        std::copy_n(P::first[table] + row * size, size, operand_of(0, 0, row) + input_size);
        memory().gather(P::first + table + 1, row, state);
    }

    void finish(int64_t row, const Vec* state) const {
        for (int64_t layer = 0; recurrent && layer < layers; layer++) {
            Number* const* to = P::last + layer * leaves;
            std::copy_n(operand_of(layer, time, row) + below(layer), hidden_size, to[0] + row * hidden_size);
            if (controller == lstm) std::copy_n(cell_of(layer, time, row), hidden_size, to[1] + row * hidden_size);
        }
        const int64_t size = reads * width;
        std::copy_n(operand_of(0, time, row) + input_size, size, P::last[table] + row * size);
        memory().scatter(state, P::last + table + 1, row);
    }

    // A step after the row's end: its state stays, and nothing new is seen.
    void carry(int64_t step, int64_t row) const {
        for (int64_t layer = layers; layer <= last; layer++)
            if (!recalled(layer)) std::fill_n(operand_of(layer, step, row), features(layer), Number(0));
        for (int64_t layer = 0; layer < layers; layer++) {
            const int64_t from = layer ? below(layer) : input_size;
            std::fill_n(operand_of(layer, step, row), from, Number(0));
            std::copy_n(operand_of(layer, step, row) + from, features(layer) - from,
                        operand_of(layer, step + 1, row) + from);
            if (controller == lstm) std::copy_n(cell_of(layer, step, row), hidden_size, cell_of(layer, step + 1, row));
        }
        const int64_t size = hidden_size + reads * width;
        std::fill_n(P::features + (row * time + step) * size, size, Number(0));
    }

    void aim(int64_t step, int64_t row, Step<Number>& at) const {
        at.step = step;
        at.row = row;
        at.emitted = units_of(last, step, row);
        at.parameters = parameters_of(step, row);
        if (kept) at.kept = kept_of(step, row);
    }

    // Asks for numbers that will be read, or written, by the next step: no processor foresees which.
    template <bool write = false> static void fetch(const Number* numbers, int64_t count) {
        for (int64_t at = 0; at < count; at += 64 / sizeof(Number)) __builtin_prefetch(numbers + at, write);
    }

    template <class Room>
    void move(int64_t step, int64_t row, Step<Number>& at, Room& room) const {
        Number* output = P::features + (row * time + step) * (hidden_size + reads * width);
        const int64_t size = hidden_size + reads * width;
        if (step + 1 < time) fetch<true>(output + size, size);
        aim(step, row, at);
        memory().squash(at, room);
        memory().move(at, room, output + hidden_size);
        std::copy_n(operand_of(layers, step, row), hidden_size, output);
        std::copy_n(output + hidden_size, reads * width, operand_of(0, step + 1, row) + input_size);
    }

    // Once in an operator and not at both of its places, which is compiled a sixth faster.
    __attribute__((noinline)) static void apply(const Projection<Number>& product, int64_t count, const Number* input,
                                                int64_t input_stride, Number* output, int64_t stride) {
        product.apply(count, input, input_stride, output, stride);
    }

    void forward_rows(int64_t first, int64_t count, const Projections& products, std::vector<Tape>& tapes) const {
        for (int64_t row = 0; row < count; row++) start(first + row, tapes[row].steps[0].before);
        typename Memory::Room room(memory());
        for (int64_t step = 0; step < time; step++) {
            for (int64_t row = first; row < first + count; row++) {
                const Number* from = P::input + (row * time + step) * input_size;
                if (saved && step % segment == 0)
                    std::copy_n(tapes[row - first].steps[0].before, memory().saved_size(), saved_of(step, row));
                if (active(row, step)) std::copy_n(from, input_size, operand_of(0, step, row));
                else carry(step, row);
            }
            for (int64_t layer = 0; layer <= last; layer++) {
                apply(products[layer], count, operand_of(layer, step, first), operand_room(layer),
                      units_of(layer, step, first), units_room(layer));
                for (int64_t row = first; row < first + count; row++)
                    if (active(row, step)) {
                        if (layer < last) control(layer, step, row);
                        else move(step, row, tapes[row - first].steps[0], room);
                    }
            }
        }
        for (int64_t row = 0; row < count; row++) finish(first + row, tapes[row].steps[0].before);
    }

    // What the memory did in one segment once more, keeping everything.
    template <class Room>
    void replay(int64_t from, int64_t to, int64_t row, Tape& tape, Room& room) const {
        std::copy_n(saved_of(from, row), memory().state_size, tape.steps[0].before);
        for (int64_t step = from; step < to && active(row, step); step++) {
            Step<Number>& at = tape.steps[step - from];
            aim(step, row, at);
            if (step + 1 < to) fetch(parameters_of(step + 1, row), memory().emitted);
            memory().move(at, room, nullptr);
        }
    }

    // What is carried back from the end, of the last state, and at the start, of the first.
    void start_backward(int64_t row, Gradient& carried) const {
        auto copy = [&](int64_t leaf, int64_t size, Number* to) {
            if (P::d_last[leaf]) std::copy_n(P::d_last[leaf] + row * size, size, to);
        };
        for (int64_t layer = 0; recurrent && layer < layers; layer++) {
            copy(layer * leaves, hidden_size, carried.hidden.data() + layer * hidden_size);
            if (controller == lstm) copy(layer * leaves + 1, hidden_size, carried.cell.data() + layer * hidden_size);
        }
        copy(table, reads * width, carried.reads.data());
        memory().gather_gradient(P::d_last + table + 1, row, carried.state.data());
    }

    void finish_backward(int64_t row, const Gradient& carried) const {
        auto copy = [&](int64_t leaf, int64_t size, const Number* from) {
            if (P::d_first[leaf]) std::copy_n(from, size, P::d_first[leaf] + row * size);
        };
        for (int64_t layer = 0; recurrent && layer < layers; layer++) {
            copy(layer * leaves, hidden_size, carried.hidden.data() + layer * hidden_size);
            if (controller == lstm) copy(layer * leaves + 1, hidden_size, carried.cell.data() + layer * hidden_size);
        }
        copy(table, reads * width, carried.reads.data());
        memory().scatter_gradient(carried.state.data(), P::d_first + table + 1, row);
    }

    // Adds the gradient of features first .. first + count of the output.
    void add_output_gradient(int64_t step, int64_t row, int64_t first, int64_t count, Number* to) const {
        if (!P::d_features) return;
        const Number* from = P::d_features + (row * time + step) * (hidden_size + reads * width) + first;
        for (int64_t at = 0; at < count; at++) to[at] += from[at];
    }

    template <class Room>
    void move_backward(int64_t step, int64_t row, const Step<Number>& at, Gradient& carried, Number* d_units,
                       Room& room) const {
        const int64_t size = hidden_size + reads * width;
        if (P::d_features && step > 0) fetch(P::d_features + (row * time + step - 1) * size, size);
        add_output_gradient(step, row, hidden_size, reads * width, carried.reads.data());
        memory().move_backward(at, room, carried.reads.data(), d_units, carried.state.data());
    }

    // d_units: of each projection what it gave, (step, row).
    void backward_rows(int64_t first, int64_t count, const Projections& products, std::vector<Tape>& tapes,
                       const std::vector<Number*>& d_units) const {
        std::vector<Gradient> carried(count, Gradient(*this));
        for (int64_t row = 0; row < count; row++) start_backward(first + row, carried[row]);
        auto d_units_of = [&](int64_t layer, int64_t step, int64_t row) {
            return d_units[layer] + (step * count + row) * units_room(layer);
        };
        typename Memory::Room room(memory());
        int64_t widest = hidden_size;
        for (int64_t layer = 0; layer <= last; layer++) widest = std::max(widest, operand_room(layer));
        std::vector<Number> d_operand(count * widest), d_above(count * widest), d_output(deep ? count * hidden_size : 0);
        for (int64_t from = (time - 1) / segment * segment, end = time; from >= 0; from -= segment) {
            const int64_t to = std::min(from + segment, time);
            for (int64_t row = 0; row < count && !Memory::rolls_back; row++) replay(from, to, first + row, tapes[row], room);
            for (int64_t step = to - 1; step >= from; step--)
                for (int64_t layer = last; layer >= 0; layer--) {
                    if (step && units_kept(layer) > 1) fetch(units_of(layer, step - 1, first), count * units_room(layer));
                    if (step && layer < layers && controller == lstm)
                        fetch(cell_of(layer, step - 1, first), count * hidden_size);
                    for (int64_t row = 0; row < count; row++) {
                        Number* gradient = d_units_of(layer, step, row);
                        if (!active(first + row, step)) std::fill_n(gradient, outputs(layer), Number(0));
                        else if (layer == last) {
                            Step<Number>& at = tapes[row].steps[Memory::rolls_back ? 0 : step - from];
                            if (Memory::rolls_back) aim(step, first + row, at);
                            move_backward(step, first + row, at, carried[row], gradient, room);
                        }
                        else control_backward(layer, step, first + row, &d_above[row * widest], carried[row], gradient);
                    }
                    apply(products[layer], count, d_units_of(layer, step, 0), units_room(layer), d_operand.data(), widest);
                    for (int64_t row = 0; row < count; row++)
                        pass_down(layer, step, first + row, &d_operand[row * widest], carried[row],
                                  d_output.data() + row * (deep ? hidden_size : 0));
                    std::swap(d_operand, d_above);
                }
            // As soon as there are enough of them, while they are in the second cache.
            if (from && (end - from) * count < 64) continue;
            for (int64_t layer = 0; layer <= last; layer++)
                products[layer].add_gradients(
                    end - from, count, d_units_of(layer, from, 0), units_room(layer),
                    {operand_of(layer, from, first), operand_room(layer), batch * operand_room(layer)},
                    first > 0 || end < time);
            end = from;
        }
        for (int64_t row = 0; row < count; row++) finish_backward(first + row, carried[row]);
    }

    // The gradient of what a projection saw goes to the layer below (where it stands), the step before and the input; that
    // of the controller's output waits in d_output for what comes of the layers between.
    void pass_down(int64_t layer, int64_t step, int64_t row, Number* d_operand, Gradient& carried, Number* d_output) const {
        if (!active(row, step)) {
            if (P::d_input) std::fill_n(P::d_input + (row * time + step) * input_size, input_size, Number(0));
            return;
        }
        if (layer == last) {
            add_output_gradient(step, row, 0, hidden_size, d_operand);
            if (!deep) return;
            std::copy_n(d_operand, hidden_size, d_output);
            std::copy_n(d_operand + hidden_size, deep_size, d_operand);
        } else if (layer == layers)
            for (int64_t at = 0; at < hidden_size; at++) d_operand[at] += d_output[at];
        if (layer >= layers) return;
        Number* d_hidden = carried.hidden.data() + layer * hidden_size;
        for (int64_t at = 0; at < recurrent * hidden_size; at++) d_hidden[at] += d_operand[below(layer) + at];
        if (layer) return;
        std::copy_n(d_operand + input_size, reads * width, carried.reads.data());
        if (P::d_input) std::copy_n(d_operand, input_size, P::d_input + (row * time + step) * input_size);
    }

public:
    explicit Controlled(const Told& problem) : Slots<Number, Told>(problem) {}

    // Finds its place for all that is kept; gives how many numbers that takes.
    int64_t lay_out() {
        int64_t taken = 0;
        auto take = [&](int64_t steps, int64_t numbers) {
            Number* found = P::room ? P::room + taken : nullptr;
            taken += (steps * batch * numbers + L - 1) / L * L;
            return found;
        };
        for (int64_t layer = 0; layer <= last; layer++)
            operand.push_back(held_by(layer) == layer ? take(depth, operand_room(layer)) : nullptr);
        for (int64_t layer = 0; layer <= last; layer++) units.push_back(take(units_kept(layer), units_room(layer)));
        for (int64_t layer = 0; controller == lstm && layer < layers; layer++) cell.push_back(take(depth, hidden_size));
        parameters = take(depth - 1, memory().emitted);
        if (!P::keep) return taken;
        saved = take((time + segment - 1) / segment, memory().saved_size() * L);
        if (memory().kept_size) kept = take(time, memory().kept_size * L);
        return taken;
    }

    void run(bool backward) {
        lay_out();
        const Projections products = projections(backward);
        const int64_t together = std::min(rows_together(backward), batch);
        const bool in_place = !backward || Memory::rolls_back;
        std::vector<Tape> tapes;
        for (int64_t row = 0; row < together; row++) tapes.emplace_back(memory(), in_place ? 1 : segment, in_place);
        std::unique_ptr<Number[]> gradients;
        std::vector<Number*> d_units;
        if (backward) {
            int64_t all = 0;
            for (int64_t layer = 0; layer <= last; layer++) all += time * together * units_room(layer);
            gradients.reset(new Number[all + rows_at_once]);
            for (int64_t layer = last; layer >= 0; layer--)
                d_units.insert(d_units.begin(), gradients.get() + (all -= time * together * units_room(layer)));
        }
        for (int64_t first = 0; first < batch; first += together) {
            const int64_t count = std::min(together, batch - first);
            if (backward) backward_rows(first, count, products, tapes, d_units);
            else forward_rows(first, count, products, tapes);
        }
        for (const Projection<Number>& product : products)
            if (backward) product.give_gradients();
    }
};

}  // namespace

// The functions of an operator for one kind of number, NUMBER. The first two give 0, or 1 when there is not enough
// memory.
#define MEMNET_OPERATOR(Memory, Told)                                                                      \
    extern "C" {                                                                                           \
    int forward(const Told<NUMBER>* problem) { return run<Memory<NUMBER>>(*problem, false); }              \
    int backward(const Told<NUMBER>* problem) { return run<Memory<NUMBER>>(*problem, true); }              \
    int size_of_a_number() { return sizeof(NUMBER); }                                                      \
    int64_t numbers_of_room(const Told<NUMBER>* problem) { return Memory<NUMBER>(*problem).lay_out(); }    \
    }
