// One step of a layer of a recurrent network, between its matrix products, forward and backward.
//
// The definition is the plain step in cells.py of memnet; this file computes the same.

#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "numbers.h"

namespace {

enum Layer { feedforward, rnn_tanh, rnn_relu, lstm, gru };

constexpr int64_t gates_of(int64_t layer) { return layer == lstm || layer == gru ? 4 : 1; }

// Calls function(layer), a constant: the same for all vectors of a row. Both of tanh units are one.
template <class Function> void of_its_kind(int64_t layer, Function function) {
    if (layer == lstm) function(Constant<lstm>());
    else if (layer == gru) function(Constant<gru>());
    else if (layer == rnn_relu) function(Constant<rnn_relu>());
    else function(Constant<rnn_tanh>());
}

// A row's units, in place from their sums to what the backward pass needs, and its next hidden state.
// A GRU's are of reset, update and candidate, without the hidden state's part of the last, which is the fourth.
template <class Number>
void move_layer(int64_t kind, int64_t size, Number* unit, const Number* hidden, const Number* cell, Number* next_cell,
                Number* next) {
    typedef Lanes<Number> Vec;
    of_its_kind(kind, [&](auto layer) { in_vectors<Number>(size, [&](int64_t at, int64_t n) {
        Vec one = load(unit + at, n);
        if (layer == lstm) {
            const Vec forget = sigmoid(load(unit + size + at, n)), out = sigmoid(load(unit + 3 * size + at, n));
            const Vec candidate = hyperbolic_tangent(load(unit + 2 * size + at, n));
            one = sigmoid(one);
            const Vec kept = forget * load(cell + at, n) + one * candidate;
            store(next_cell + at, kept, n);
            store(unit + size + at, forget, n);
            store(unit + 2 * size + at, candidate, n);
            store(unit + 3 * size + at, out, n);
            store(unit + at, one, n);
            one = out * hyperbolic_tangent(kept);
        } else if (layer == gru) {
            const Vec reset = sigmoid(one), update = sigmoid(load(unit + size + at, n));
            const Vec recalled = load(unit + 3 * size + at, n);
            const Vec candidate = hyperbolic_tangent(load(unit + 2 * size + at, n) + reset * recalled);
            store(unit + at, reset, n);
            store(unit + size + at, update, n);
            store(unit + 2 * size + at, candidate, n);
            one = candidate + update * (load(hidden + at, n) - candidate);
        } else {
            one = layer == rnn_relu ? (one < 0 ? Vec{} : one) : hyperbolic_tangent(one);
            store(unit + at, one, n);
        }
        store(next + at, one, n);
    }); });
}

// From the gradient of a row's next hidden state to that of its units' sums, and, in place, to what goes on to the
// hidden state before without a matrix; from that of its next cell, in place, to that of the cell before.
template <class Number>
void move_layer_backward(int64_t kind, int64_t size, const Number* unit, const Number* hidden, const Number* cell,
                         const Number* next, Number* d_hidden, Number* d_cell, Number* d_unit) {
    typedef Lanes<Number> Vec;
    const Number nearly_shut = std::sqrt(std::numeric_limits<Number>::min());
    of_its_kind(kind, [&](auto layer) { in_vectors<Number>(size, [&](int64_t at, int64_t n) {
        const Vec gradient = load(d_hidden + at, n), one = load(unit + at, n);
        Vec direct{};
        if (layer == lstm) {
            const Vec forget = load(unit + size + at, n), candidate = load(unit + 2 * size + at, n);
            const Vec out = load(unit + 3 * size + at, n);
            // tanh of the cell; where the output gate is as good as shut, nothing depends on it.
            const Vec squashed = out > nearly_shut ? load(next + at, n) * reciprocal(out) : Vec{};
            const Vec total = load(d_cell + at, n) + gradient * out * (1 - squashed * squashed);
            store(d_unit + at, total * candidate * one * (1 - one), n);
            store(d_unit + size + at, total * load(cell + at, n) * forget * (1 - forget), n);
            store(d_unit + 2 * size + at, total * one * (1 - candidate * candidate), n);
            store(d_unit + 3 * size + at, gradient * squashed * out * (1 - out), n);
            store(d_cell + at, total * forget, n);
        } else if (layer == gru) {
            const Vec update = load(unit + size + at, n), candidate = load(unit + 2 * size + at, n);
            const Vec recalled = load(unit + 3 * size + at, n);
            const Vec inner = gradient * (1 - update) * (1 - candidate * candidate);
            store(d_unit + at, inner * recalled * one * (1 - one), n);
            store(d_unit + size + at, gradient * (load(hidden + at, n) - candidate) * update * (1 - update), n);
            store(d_unit + 2 * size + at, inner, n);
            store(d_unit + 3 * size + at, inner * one, n);
            direct = gradient * update;
        } else
            store(d_unit + at, layer == rnn_relu ? (one <= 0 ? Vec{} : gradient) : gradient * (1 - one * one), n);
        store(d_hidden + at, direct, n);
    }); });
}

}  // namespace
