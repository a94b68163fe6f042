// Shares of the actions of which one is to be taken, see structures.py of memnet: a softmax, or the likeliest alone.

#pragma once

#include <algorithm>
#include <cstdint>

#include "numbers.h"

namespace {

template <class Number> void share_actions(int64_t count, bool rounded, const Number* raw, Number* to) {
    if (rounded) {
        const Number* most = std::max_element(raw, raw + count);
        for (int64_t action = 0; action < count; action++) to[action] = raw + action == most;
        return;
    }
    Number most = raw[0], whole = 0;
    for (int64_t action = 1; action < count; action++) most = std::max(raw[action], most);
    in_vectors<Number>(count, [&](int64_t at, int64_t n) {
        const Lanes<Number> shares = exponential(load(raw + at, n) - most);
        for (int64_t action = at; action < std::min(at + lanes<Number>, count); action++) whole += shares[action - at];
        store(to + at, shares, n);
    });
    for (int64_t action = 0; action < count; action++) to[action] /= whole;
}

// From the gradient of the shares to that of what they are made of, in place.
template <class Number> void share_actions_backward(int64_t count, bool rounded, const Number* shares, Number* gradient) {
    Number mean = 0;
    for (int64_t action = 0; action < count; action++) mean += gradient[action] * shares[action];
    for (int64_t action = 0; action < count; action++)
        gradient[action] = rounded ? 0 : shares[action] * (gradient[action] - mean);
}

}  // namespace
