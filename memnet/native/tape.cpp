// A recurrent network with tapes over whole sequences, forward and backward (Deletang et al. 2022, arXiv 2207.02098;
// Suzgun et al. 2019, arXiv 1911.03329).
//
// The definition is the plain step in tape.py of models and of functional, and cells.py; this file computes the same.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "actions.h"
#include "controlled.h"

namespace {

// Laid out as tape.py fills it in. The memory's part of a state: the tapes, and, where they jump, how long the input is so
// far and whether it goes on.
template <class Number> struct TapeProblem : Problem<Number> {
    int64_t tapes, moves, adds, jumps, rounded;
};

template <class Number> class Tape : public Controlled<Number, TapeProblem<Number>, Tape<Number>> {
    typedef Controlled<Number, TapeProblem<Number>, Tape<Number>> Base;
    typedef Lanes<Number> Vec;
    typedef Step<Number> At;
    friend Base;
    using Base::tapes, Base::moves, Base::adds, Base::jumps, Base::rounded;
    using Base::slots, Base::width, Base::L, Base::map;

    const int64_t value_at = tapes * moves, emitted = value_at + tapes * width;
    // A state: tapes (slot, width), each in whole vectors, and a vector that begins with length and reading.
    const int64_t numbers = slots * width, tape_size = (numbers + L - 1) / L, all_tapes = tapes * tape_size;
    const int64_t state_size = all_tapes + 1, rest_size = 0, kept_size = 0;

    Number* tape_of(Vec* state, int64_t tape) const { return (Number*)(state + tape * tape_size); }
    const Number* tape_of(const Vec* state, int64_t tape) const { return (const Number*)(state + tape * tape_size); }

    void gather(const Number* const* state, int64_t row, Vec* to) const {
        std::fill_n(to, state_size, Vec{});
        for (int64_t tape = 0; state[0] && tape < tapes; tape++)
            std::copy_n(state[0] + (row * tapes + tape) * numbers, numbers, tape_of(to, tape));
        for (int64_t part = 0; jumps && part < 2; part++)
            if (state[1 + part]) to[all_tapes][part] = state[1 + part][row];
    }
    void scatter(const Vec* from, Number* const* state, int64_t row) const {
        for (int64_t tape = 0; state[0] && tape < tapes; tape++)
            std::copy_n(tape_of(from, tape), numbers, state[0] + (row * tapes + tape) * numbers);
        for (int64_t part = 0; jumps && part < 2; part++)
            if (state[1 + part]) state[1 + part][row] = from[all_tapes][part];
    }

    // What a step needs and nobody else: a tape, and the gradient of one, twice behind each other, so that a rotation is
    // a load from elsewhere.
    struct Room {
        std::vector<Number> ring, gradient;
        explicit Room(const Tape& of) : ring(2 * of.numbers + of.L), gradient(ring.size()) {}
    };
    void close(const Number* tape, Number* ring) const {
        std::copy_n(tape, numbers, ring);
        std::copy_n(tape, numbers, ring + numbers);
    }

    // 1 as long as the input has not ended: until a last feature that is not zero.
    Number goes_on(const At& at) const {
        return this->operand_of(0, at.step, at.row)[Base::input_size - 1] == 0;
    }

    // Where a slot's next numbers are found on the ring, and how much of them is taken; see the names of the moves in
    // tape.py. The last two moves of rotate-and-add find the same as the first two.
    template <int count> struct Ways {
        int64_t move[count], from[count];
        Number share[count];
    };
    template <int count> Ways<count> ways(const At& at, const Number* share) const {
        if constexpr (count == 3) {
            const int64_t stay = adds ? 2 : 0, on = adds ? 0 : 1, back = adds ? 1 : 2;
            const Number more_on = adds ? share[3] : 0, more_back = adds ? share[4] : 0;
            return {{stay, on, back}, {0, width, numbers - width},
                    {share[stay], share[on] + more_on, share[back] + more_back}};
        } else {
            const Number length = at.before[all_tapes][0] + at.before[all_tapes][1] * goes_on(at);
            const int64_t over = (int64_t)length % slots, distance = (over < 0 ? over + slots : over) * width;
            return {{0, 1, 2, 3, 4}, {0, width, numbers - width, distance, numbers - distance},
                    {share[0], share[1], share[2], share[3], share[4]}};
        }
    }
    template <class Function> void in_ways(Function function) const {
        if (jumps) function(Constant<5>());
        else function(Constant<3>());
    }

    // ------------------------------------------------------------------------------------------ actions

    void squash(const At& at, Room&) const {
        const Number* raw = at.emitted;
        Number* to = at.parameters;
        for (int64_t first = 0; first < value_at; first += moves) share_actions(moves, rounded, raw + first, to + first);
        map(emitted - value_at, [&](int64_t at, int64_t n) {
            const Vec value = load(raw + value_at + at, n);
            store(to + value_at + at, adds ? sigmoid(value) : value, n); });
    }
    void squash_backward(const Number* told, Number* gradient) const {
        for (int64_t first = 0; first < value_at; first += moves)
            share_actions_backward(moves, rounded, told + first, gradient + first);
        for (int64_t at = value_at; adds && at < emitted; at++) gradient[at] *= told[at] * (1 - told[at]);
    }

    // ------------------------------------------------------------------------------------------ tapes

    // What moves, twice behind each other: with "write-and-move" after the value was written.
    void written(const At& at, int64_t tape, Number* ring) const {
        close(tape_of(at.before, tape), ring);
        for (int64_t place = 0; !adds && place <= numbers; place += numbers)
            std::copy_n(at.parameters + value_at + tape * width, width, ring + place);
    }

    void move(const At& at, Room& room, Number* reads_to) const {
        Number* ring = room.ring.data();
        const int64_t end = numbers - width;
        for (int64_t tape = 0; tape < tapes; tape++) {
            const Number *share = at.parameters + tape * moves, *value = at.parameters + value_at + tape * width;
            Number* to = tape_of(at.after, tape);
            written(at, tape, ring);
            in_ways([&](auto count) {
                const Ways<count> way = ways<count>(at, share);
                map(numbers, [&](int64_t at, int64_t) {
                    Vec total{};
                    for (int one = 0; one < count; one++) total += way.share[one] * load(ring + way.from[one] + at);
                    store(to + at, total); });
            });
            for (int64_t at = 0; adds && at < width; at++) to[end + at] -= share[3] * ring[at];  // lost at the ends
            for (int64_t at = 0; adds && at < width; at++) to[at] += value[at] - share[4] * ring[end + at];
            if (reads_to) std::copy_n(to, width, reads_to + tape * width);
        }
        if (!jumps) return;
        Vec counted = at.before[all_tapes];
        counted[1] *= goes_on(at);
        counted[0] += counted[1];
        at.after[all_tapes] = counted;
    }

    void move_backward(const At& at, Room& room, const Number* d_reads, Number* gradient, Vec* state) const {
        Number *ring = room.ring.data(), *d_ring = room.gradient.data();
        const int64_t end = numbers - width;
        for (int64_t tape = 0; tape < tapes; tape++) {
            const Number* share = at.parameters + tape * moves;
            Number *d_tape = tape_of(state, tape), *d_share = gradient + tape * moves;
            Number* d_value = gradient + value_at + tape * width;
            for (int64_t at = 0; at < width; at++) d_tape[at] += d_reads[tape * width + at];
            written(at, tape, ring);
            close(d_tape, d_ring);
            in_ways([&](auto count) {
                const Ways<count> way = ways<count>(at, share);
                Vec totals[count]{};
                map(numbers, [&](int64_t at, int64_t n) {
                    const Vec own = load(d_ring + at, n);
                    Vec total{};
                    for (int one = 0; one < count; one++) {
                        totals[one] += own * load(ring + way.from[one] + at);
                        total += way.share[one] * load(d_ring + numbers - way.from[one] + at);
                    }
                    store(d_tape + at, total); });
                for (int one = 0; one < count; one++) d_share[way.move[one]] = sum<Number>(totals[one]);
            });
            if (!adds) {
                std::copy_n(d_tape, width, d_value);
                std::fill_n(d_tape, width, Number(0));
                continue;
            }
            std::copy_n(d_ring, width, d_value);
            d_share[3] = d_share[0];
            d_share[4] = d_share[1];
            for (int64_t at = 0; at < width; at++) {
                d_share[3] -= d_ring[end + at] * ring[at];
                d_share[4] -= d_ring[at] * ring[end + at];
                d_tape[at] -= share[3] * d_ring[end + at];
                d_tape[end + at] -= share[4] * d_ring[at];
            }
        }
        if (jumps) state[all_tapes][1] = (state[all_tapes][0] + state[all_tapes][1]) * goes_on(at);
        squash_backward(at.parameters, gradient);
    }

public:
    explicit Tape(const TapeProblem<Number>& problem) : Base(problem) {}
};

}  // namespace

MEMNET_OPERATOR(Tape, TapeProblem)
