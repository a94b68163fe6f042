// The first state of sequences out of the weights that it is made of, and its gradient back to them.
//
// The definition is a model's initial_state: weights repeated, or first softened to weightings.

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "numbers.h"

namespace {

// Numbers of a weight that stand `times` times, one behind the other, in a tensor of the state; of a softened one each
// row of `soft` numbers by its softmax.
template <class Number> struct Piece {
    int64_t size, times, soft;
    const Number* weight;
    Number* place;
    const Number* d_place;
    Number* d_weight;

    void fill() const {
        if (!soft) std::copy_n(weight, size, place);
        for (int64_t at = 0; soft && at < size; at += soft) soften(weight + at, place + at);
        for (int64_t time = 1; time < times; time++) std::copy_n(place, size, place + time * size);
    }
    void soften(const Number* raw, Number* to) const {
        const Number most = *std::max_element(raw, raw + soft);
        Number whole = 0;
        in_vectors<Number>(soft, [&](int64_t at, int64_t n) { store(to + at, exponential(load(raw + at, n) - most), n); });
        for (int64_t at = 0; at < soft; at++) whole += to[at];
        for (int64_t at = 0; at < soft; at++) to[at] /= whole;
    }
    void spread() const {
        in_vectors<Number>(size, [&](int64_t at, int64_t n) {
            Lanes<Number> total = load(d_place + at, n);
            for (int64_t time = 1; time < times; time++) total += load(d_place + time * size + at, n);
            store(d_weight + at, total, n);
        });
        for (int64_t at = 0; soft && at < size; at += soft) {
            const Number* shares = place + at;
            Number *d_raw = d_weight + at, mean = 0;
            for (int64_t own = 0; own < soft; own++) mean += d_raw[own] * shares[own];
            for (int64_t own = 0; own < soft; own++) d_raw[own] = (d_raw[own] - mean) * shares[own];
        }
    }
};

// Laid out as first_state.py fills it in.
template <class Number> struct Problem {
    int64_t count;
    const Piece<Number>* pieces;
};

template <class Number> struct FirstState {
    const Problem<Number>& problem;
    explicit FirstState(const Problem<Number>& problem) : problem(problem) {}
    void run(bool backward) const {
        for (int64_t at = 0; at < problem.count; at++)
            backward ? problem.pieces[at].spread() : problem.pieces[at].fill();
    }
};

}  // namespace

extern "C" {
int forward(const Problem<NUMBER>* problem) { return run<FirstState<NUMBER>>(*problem, false); }
int backward(const Problem<NUMBER>* problem) { return run<FirstState<NUMBER>>(*problem, true); }
int size_of_a_number() { return sizeof(NUMBER); }
}
