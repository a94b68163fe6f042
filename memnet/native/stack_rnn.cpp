// A recurrent network with stacks over whole sequences, forward and backward (Joulin & Mikolov 2015, arXiv 1503.01007).
//
// The definition is the plain step in stack_rnn.py, cells.py and stacks.py; this file computes the same. Only the slots
// that something can have reached are moved: below them a stack holds what an empty one does, whatever is done to it.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "actions.h"
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
    // A state: stacks, and then how many slots of a stack have been reached. A stack: behind whole vectors, in the last
    // `width` of their numbers what is pushed on it next; its slots; what is below, of two slots and a vector.
    const int64_t numbers = slots * width, top = (width + L - 1) / L * L;
    const int64_t stack_size = (top + numbers + 2 * width + L) / L + 1, all_stacks = stacks * stack_size;
    const int64_t state_size = all_stacks + 1, rest_size = 0, kept_size = 0;
    // What the first state's own gradient is asked of.
    const bool every_slot = P::d_first && P::d_first[Base::table + 1];

    int64_t gradient_size() const { return all_stacks; }
    Number* stack_of(Vec* state, int64_t stack) const { return (Number*)(state + stack * stack_size) + top; }
    const Number* stack_of(const Vec* state, int64_t stack) const { return stack_of((Vec*)state, stack); }
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
            Number* from = stack_of(to, stack);
            end(from + numbers);
            int64_t count = numbers;
            while (count > last && from[count - 1] == empty) count--;
            last = std::max(last, count);
        }
        to[all_stacks] = all<Number>((last + width - 1) / width);
    }
    void scatter(const Vec* from, Number* const* state, int64_t row) const { scatter_gradient(from, state, row); }
    void end(Number* from) const {
        map(2 * width + L, [&](int64_t at, int64_t n) { store(from + at, all(empty), n); });
    }

    // What a step needs and nobody else: a stack that is to take the place of the one that it is made of.
    struct Room {
        std::vector<Vec> next;
        explicit Room(const StackRNN& of) : next(of.stack_size) {}
    };

    // ------------------------------------------------------------------------------------------ actions

    void squash(const At& at, Room&) const {
        const Number* raw = at.emitted;
        Number* to = at.parameters;
        for (int64_t first = 0; first < value_at; first += 3) share_actions(3, rounded, raw + first, to + first);
        map(emitted - value_at, [&](int64_t at, int64_t n) {
            const Vec value = load(raw + value_at + at, n);
            store(to + value_at + at, squashed ? sigmoid(value) : value, n); });
    }

    // From the gradient of shares and values to that of what the last projection gives, in place.
    void squash_backward(const Number* told, Number* gradient) const {
        for (int64_t first = 0; first < value_at; first += 3)
            share_actions_backward(3, rounded, told + first, gradient + first);
        for (int64_t at = value_at; squashed && at < emitted; at++) gradient[at] *= told[at] * (1 - told[at]);
    }

    // ------------------------------------------------------------------------------------------ stacks

    // Eqs. 4 and 5, and the no-op.
    void move(const At& at, Room& room, Number* reads_to) const {
        const int64_t after = std::min(slots, reached(at.before) + 1);
        const Number* told = at.parameters;
        for (int64_t stack = 0; stack < stacks; stack++, told += 3) {
            const Number push = told[0], pop = told[1], stay = told[2];
            Number *from = stack_of(at.before, stack), *to = stack_of(at.after, stack);
            std::copy_n(at.parameters + value_at + stack * width, width, from - width);
            Number* next = to == from ? (Number*)room.next.data() : to;
            map(after * width, [&](int64_t at, int64_t) {
                const Number* own = from + at;
                store(next + at, push * load(own - width) + pop * load(own + width) + stay * load(own)); });
            if (next != to) map(after * width, [&](int64_t at, int64_t) { store(to + at, load(next + at)); });
            end(to + after * width);
            if (reads_to) std::copy_n(to, tops * width, reads_to + stack * tops * width);
        }
        at.after[all_stacks] = all<Number>(after);
    }

    // The states before steps have been gone through again, and still have what was pushed on them.
    void move_backward(const At& at, Room& room, const Number* d_reads, Number* gradient, Vec* state) const {
        const int64_t after = std::min(slots, reached(at.before) + 1);
        const Number* told = at.parameters;
        Number* next = (Number*)room.next.data();
        for (int64_t stack = 0; stack < stacks; stack++, told += 3) {
            const Number push = told[0], pop = told[1], stay = told[2];
            const Number* before = stack_of(at.before, stack);
            Number* d_stack = stack_of(state, stack);
            for (int64_t at = 0; at < tops * width; at++) d_stack[at] += d_reads[stack * tops * width + at];
            Vec d_push{}, d_pop{}, d_stay{};
            map(after * width, [&](int64_t at, int64_t n) {
                const Number *from = before + at, *d_from = d_stack + at;
                const Vec own = load(d_from, n);
                d_push += own * load(from - width);
                d_pop += own * load(from + width);
                d_stay += own * load(from);
                store(next + at, push * load(d_from + width) + pop * load(d_from - width) + stay * own); });
            gradient[3 * stack] = sum<Number>(d_push);
            gradient[3 * stack + 1] = sum<Number>(d_pop);
            gradient[3 * stack + 2] = sum<Number>(d_stay);
            for (int64_t at = 0; at < width; at++) gradient[value_at + stack * width + at] = push * d_stack[at];
            map(after * width, [&](int64_t at, int64_t n) { store(d_stack + at, load(next + at), n); });
        }
        squash_backward(at.parameters, gradient);
    }

public:
    explicit StackRNN(const StackProblem<Number>& problem) : Base(problem) {}
};

}  // namespace

MEMNET_OPERATOR(StackRNN, StackProblem)
