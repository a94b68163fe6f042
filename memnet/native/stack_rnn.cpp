// A recurrent network with stacks over whole sequences, forward and backward (Joulin & Mikolov 2015, arXiv 1503.01007).
//
// The definition is the plain step in stack_rnn.py, cells.py and stacks.py; this file computes the same. Only the slots
// that something can have reached are moved: below them a stack holds what an empty one does, whatever is done to it.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "controlled.h"

namespace {

// Laid out as stack_rnn.py fills it in. The memory's part of a state: the stacks.
template <class Number> struct StackProblem : Problem<Number> {
    int64_t stacks, tops, squashed, rounded;
    double empty;
};

template <class Number> class StackRNN : public Controlled<Number, StackProblem<Number>, StackRNN<Number>> {
    typedef Controlled<Number, StackProblem<Number>, StackRNN<Number>> Base;
    typedef Lanes<Number> Vec;
    typedef Step<Number> At;
    friend Base;
    using P = StackProblem<Number>;
    using Base::stacks, Base::tops, Base::squashed, Base::rounded, Base::slots, Base::width, Base::L, Base::map;

    const Number empty = P::empty;
    const int64_t value_at = 3 * stacks, emitted = value_at + stacks * width;
    // A state: stacks (slot, width), each in whole vectors, and then how many slots of a stack have been reached.
    const int64_t numbers = slots * width, stack_size = (numbers + L - 1) / L, all_stacks = stacks * stack_size;
    const int64_t state_size = all_stacks + 1, rest_size = 0, kept_size = 0;
    // What the first state's own gradient is asked of.
    const bool every_slot = P::d_first && P::d_first[Base::table + 1];

    int64_t gradient_size() const { return all_stacks; }
    Number* stack_of(Vec* state, int64_t stack) const { return (Number*)(state + stack * stack_size); }
    const Number* stack_of(const Vec* state, int64_t stack) const { return (const Number*)(state + stack * stack_size); }
    int64_t reached(const Vec* state) const { return every_slot ? slots : (int64_t)state[all_stacks][0]; }

    void gather_gradient(const Number* const* state, int64_t row, Vec* to) const {
        std::fill_n(to, all_stacks, Vec{});
        for (int64_t stack = 0; state[0] && stack < stacks; stack++)
            std::copy_n(state[0] + (row * stacks + stack) * numbers, numbers, stack_of(to, stack));
    }
    void scatter_gradient(const Vec* from, Number* const* state, int64_t row) const {
        for (int64_t stack = 0; state[0] && stack < stacks; stack++)
            std::copy_n(stack_of(from, stack), numbers, state[0] + (row * stacks + stack) * numbers);
    }
    void gather(const Number* const* state, int64_t row, Vec* to) const {
        gather_gradient(state, row, to);
        int64_t last = 0;
        for (int64_t stack = 0; stack < stacks; stack++) {
            const Number* from = stack_of(to, stack);
            int64_t count = numbers;
            while (count > last && from[count - 1] == empty) count--;
            last = std::max(last, count);
        }
        to[all_stacks] = all<Number>((last + width - 1) / width);
    }
    void scatter(const Vec* from, Number* const* state, int64_t row) const { scatter_gradient(from, state, row); }

    // What a step needs and nobody else: a stack, or the gradient of one, with a slot above it and two below.
    struct Room {
        std::vector<Number> stack, gradient, nothing;
        explicit Room(const StackRNN& of)
            : stack(of.numbers + 3 * of.width + of.L), gradient(stack.size()), nothing(of.width) {}
    };

    void put(const Number* first, const Number* numbers, int64_t count, Number last, Number* to) const {
        std::copy_n(first, width, to);
        std::copy_n(numbers, count, to + width);
        std::fill_n(to + width + count, 2 * width, last);
    }

    // ------------------------------------------------------------------------------------------ actions

    void squash(const At& at, Room&) const {
        const Number* raw = at.emitted;
        Number* to = at.parameters;
        for (int64_t first = 0; first < value_at; first += 3) {
            const Number* most = std::max_element(raw + first, raw + first + 3);
            for (int64_t action = first; action < first + 3; action++)
                to[action] = rounded ? Number(raw + action == most) : raw[action] - *most;
        }
        map(rounded ? 0 : value_at, [&](int64_t at, int64_t n) { store(to + at, exponential(load(to + at, n)), n); });
        for (int64_t first = 0; first < value_at; first += 3) {
            const Number whole = to[first] + to[first + 1] + to[first + 2];
            for (int64_t action = first; action < first + 3; action++) to[action] /= whole;
        }
        map(emitted - value_at, [&](int64_t at, int64_t n) {
            const Vec value = load(raw + value_at + at, n);
            store(to + value_at + at, squashed ? sigmoid(value) : value, n); });
    }

    // From the gradient of shares and values to that of what the last projection gives, in place.
    void squash_backward(const Number* told, Number* gradient) const {
        for (int64_t first = 0; first < value_at; first += 3) {
            Number mean = 0;
            for (int64_t action = first; action < first + 3; action++) mean += gradient[action] * told[action];
            for (int64_t action = first; action < first + 3; action++)
                gradient[action] = rounded ? 0 : told[action] * (gradient[action] - mean);
        }
        for (int64_t at = value_at; squashed && at < emitted; at++) gradient[at] *= told[at] * (1 - told[at]);
    }

    // ------------------------------------------------------------------------------------------ stacks

    // Eqs. 4 and 5, and the no-op.
    void move(const At& at, Room& room, Number* reads_to) const {
        const int64_t before = reached(at.before), after = std::min(slots, before + 1);
        const Number* told = at.parameters;
        Number* around = room.stack.data();
        for (int64_t stack = 0; stack < stacks; stack++, told += 3) {
            const Number push = told[0], pop = told[1], stay = told[2];
            put(at.parameters + value_at + stack * width, stack_of(at.before, stack), before * width, empty, around);
            Number* to = stack_of(at.after, stack);
            map(after * width, [&](int64_t at, int64_t n) {
                const Number* above = around + at;
                store(to + at, push * load(above) + pop * load(above + 2 * width) + stay * load(above + width), n); });
            if (reads_to) std::copy_n(to, tops * width, reads_to + stack * tops * width);
        }
        at.after[all_stacks] = all<Number>(after);
    }

    void move_backward(const At& at, Room& room, const Number* d_reads, Number* gradient, Vec* state) const {
        const int64_t before = reached(at.before), after = std::min(slots, before + 1);
        const Number* told = at.parameters;
        Number *around = room.stack.data(), *d_around = room.gradient.data();
        for (int64_t stack = 0; stack < stacks; stack++, told += 3) {
            const Number push = told[0], pop = told[1], stay = told[2];
            Number* d_stack = stack_of(state, stack);
            for (int64_t at = 0; at < tops * width; at++) d_stack[at] += d_reads[stack * tops * width + at];
            put(at.parameters + value_at + stack * width, stack_of(at.before, stack), before * width, empty, around);
            put(room.nothing.data(), d_stack, after * width, 0, d_around);
            Vec d_push{}, d_pop{}, d_stay{};
            map(after * width, [&](int64_t at, int64_t n) {
                const Number *above = around + at, *d_above = d_around + at;
                const Vec own = load(d_above + width, n);
                d_push += own * load(above, n);
                d_pop += own * load(above + 2 * width, n);
                d_stay += own * load(above + width, n);
                store(d_stack + at, push * load(d_above + 2 * width) + pop * load(d_above) + stay * own, n); });
            gradient[3 * stack] = sum<Number>(d_push);
            gradient[3 * stack + 1] = sum<Number>(d_pop);
            gradient[3 * stack + 2] = sum<Number>(d_stay);
            for (int64_t at = 0; at < width; at++) gradient[value_at + stack * width + at] = push * d_around[width + at];
        }
        squash_backward(at.parameters, gradient);
    }

public:
    explicit StackRNN(const StackProblem<Number>& problem) : Base(problem) {}
};

}  // namespace

MEMNET_OPERATOR(StackRNN, StackProblem)
