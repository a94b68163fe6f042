// A sparse access memory over whole sequences, forward and backward (Rae et al. 2016, arXiv 1610.09027).
//
// The definition is the plain step in sam.py, cells.py, sparse.py and addressing.py; this file computes the same. The
// memory changes in place, row by row. What stood in the rows that were written is kept, and the backward pass puts it
// back step by step, so that no step but for its search touches more than a few rows.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "controlled.h"

namespace {

// Laid out as sam_compiled.py fills it in; what it holds of the memory changes in place. `slots` are those that a
// sequence may reach, the first of the memory. There are writes * (per_read + 1) places that are written, each head's
// last one emptied, and reads * per_read that are read; heads read as many as they write.
template <class Number> struct SAMProblem : Problem<Number> {
    int64_t per_read;
    double used_above;
    Number* memory;          // (batch, slot, width)
    Number* since;           // (batch, slot), minus the step in which it was last used
    int64_t* ends;           // (batch), slots outside of which nothing was there or was used
    int64_t* last_slots;     // (batch, read, per_read), what was read last, in the order of the slots
    Number* last_weights;    // likewise
    int64_t* chosen;         // (time, batch, place), slots that were written and then those that were read; or null
    Number *d_memory, *d_weights;  // of memory and last_weights
};

// The largest scores so far, and their slots; of equal ones the first.
template <class Number> struct Largest {
    std::vector<Number> scores;
    std::vector<int64_t> slots;
    explicit Largest(int64_t count) : scores(count), slots(count) {}
    void restart() { std::fill(scores.begin(), scores.end(), -std::numeric_limits<Number>::infinity()); }
    Number least() const { return scores.back(); }
    void offer(Number score, int64_t slot) {
        if (!(score > least())) return;
        int64_t at = scores.size() - 1;
        for (; at && score > scores[at - 1]; at--) {
            scores[at] = scores[at - 1];
            slots[at] = slots[at - 1];
        }
        scores[at] = score;
        slots[at] = slot;
    }
    void in_order(int64_t* to) const {
        std::copy(slots.begin(), slots.end(), to);
        std::sort(to, to + slots.size());
    }
};

template <class Number> class SAM : public Controlled<Number, SAMProblem<Number>, SAM<Number>> {
    typedef Controlled<Number, SAMProblem<Number>, SAM<Number>> Base;
    typedef SAMProblem<Number> P;
    typedef Lanes<Number> Vec;
    typedef Step<Number> At;
    friend Base;
    using Base::slots, Base::width, Base::blocks, Base::memory_size, Base::smallest, Base::floored, Base::L, Base::map;
    using P::batch, P::per_read;

    const int64_t heads = P::reads, read_size = heads * per_read, written = heads * (per_read + 1);
    const int64_t places = written + read_size;
    // Where each parameter of the heads begins among what the last projection gives.
    const int64_t add_at = heads * width, gate_at = 2 * add_at, again_at = gate_at + heads, strength_at = again_at + heads;
    const int64_t emitted = strength_at + heads;
    // Beside the memory a copy of it in blocks, to look through, and by what products with its slots are cosines in
    // whole steps, see nearest_slots in sparse.py.
    const int64_t state_size = memory_size + blocks, rest_size = 0;
    const int64_t columns = (width + L - 1) / L, shares_size = (read_size + L - 1) / L;
    const int64_t kept_size = written * columns + 3 * shares_size;
    const Number resolution = std::sqrt(std::numeric_limits<Number>::epsilon());
    const Number floor = std::max<Number>(P::norm_floor, std::numeric_limits<Number>::min() / std::numeric_limits<Number>::epsilon());

    static constexpr bool rolls_back = true;
    int64_t saved_size() const { return 0; }
    int64_t gradient_size() const { return 0; }
    void gather_gradient(const Number* const*, int64_t, Vec*) const {}
    void scatter_gradient(const Vec*, Number* const*, int64_t) const {}
    void scatter(const Vec*, Number* const*, int64_t) const {}

    // What a step needs and nobody else.
    struct Room {
        std::vector<int64_t> chosen;
        std::vector<Number> weights, query, use;
        std::vector<Vec> kept;
        std::vector<Largest<Number>> nearest;
        Largest<Number> unused;
        explicit Room(const SAM& of)
            : chosen(of.places), weights(of.written), query(of.add_at), use(of.slots),
              kept(of.kept_size), nearest(of.heads, Largest<Number>(of.per_read)), unused(of.heads) {}
    };

    // One row of the batch in one step.
    struct Parts {
        Number *memory, *since, *last_weights;
        int64_t *last_slots, *end;
        int64_t *places, *found;              // where was written, and read
        Number *old, *before, *share, *cosine;  // what stood at the places; last_weights before the step; of this step
        const Number* told;
    };
    Parts parts(const At& at, Room& room) const {
        Parts step;
        const int64_t row = at.row;
        step.memory = P::memory + row * slots * width;
        step.since = P::since + row * slots;
        step.last_weights = P::last_weights + row * read_size;
        step.last_slots = P::last_slots + row * read_size;
        step.end = P::ends + row;
        step.places = P::chosen ? P::chosen + (at.step * batch + row) * places : room.chosen.data();
        step.found = step.places + written;
        Vec* kept = this->kept ? at.kept : room.kept.data();
        step.old = (Number*)kept;
        step.before = (Number*)(kept + written * columns);
        step.share = (Number*)(kept + written * columns + shares_size);
        step.cosine = (Number*)(kept + written * columns + 2 * shares_size);
        step.told = at.parameters;
        return step;
    }
    Number* old_row(const Parts& step, int64_t place) const { return step.old + place * columns * L; }
    bool empties(int64_t place) const { return place % (per_read + 1) == per_read; }

    // ------------------------------------------------------------------------------------------ rows

    Number dot(const Number* one, const Number* other) const {
        Vec total{};
        map(width, [&](int64_t at, int64_t n) { total += load(one + at, n) * load(other + at, n); });
        return sum<Number>(total);
    }
    // to += share * from
    void add(Number* to, Number share, const Number* from) const {
        map(width, [&](int64_t at, int64_t n) { store(to + at, load(to + at, n) + share * load(from + at, n), n); });
    }
    Number scale_of(const Number* row) const { return 1 / std::sqrt(std::max(dot(row, row), smallest)); }

    void gather(const Number* const*, int64_t row, Vec* to) const {
        std::fill_n(to, state_size, Vec{});
        const Number* memory = P::memory + row * slots * width;
        for (int64_t slot = 0; slot < P::ends[row]; slot++) note(slot, memory + slot * width, to);
        const Number empty = 1 / (floor * resolution);
        for (int64_t slot = P::ends[row]; slot < slots; slot++) ((Number*)(to + memory_size))[slot] = empty;
    }

    // A row stands at a slot from now on.
    void note(int64_t slot, const Number* row, Vec* state) const {
        Vec* block = state + slot / L * width;
        for (int64_t column = 0; column < width; column++) ((Number*)(block + column))[slot % L] = row[column];
        ((Number*)(state + memory_size))[slot] = 1 / (std::max(std::sqrt(dot(row, row)), floor) * resolution);
    }

    // ------------------------------------------------------------------------------------------ what heads are told

    void squash(const At& at, Room&) const {
        std::copy_n(at.emitted, gate_at, at.parameters);
        map(2 * heads, [&](int64_t place, int64_t n) {
            store(at.parameters + gate_at + place, sigmoid(load(at.emitted + gate_at + place, n)), n); });
        map(heads, [&](int64_t place, int64_t n) {
            store(at.parameters + strength_at + place, 1 + softplus(load(at.emitted + strength_at + place, n)), n); });
    }

    void squash_backward(const Number* raw, const Number* squashed, Number* gradient) const {
        for (int64_t at = gate_at; at < strength_at; at++) gradient[at] *= squashed[at] * (1 - squashed[at]);
        map(heads, [&](int64_t at, int64_t n) {
            const Vec slope = softplus_slope(load(raw + strength_at + at, n));
            store(gradient + strength_at + at, load(gradient + strength_at + at, n) * slope, n); });
    }

    // ------------------------------------------------------------------------------------------ looking

    // Offers the scores of some blocks of slots to whom the largest are wanted, but those from `end` on.
    // What is no number counts as the largest, so that it is seen.
    template <int count>
    static void offer(Vec (&scores)[count], int64_t first, int64_t end, Largest<Number>& wanted) {
        Vec highest = all(-std::numeric_limits<Number>::infinity());
        for (int one = 0; one < count; one++) {
            scores[one] = scores[one] == scores[one] ? scores[one] : all(std::numeric_limits<Number>::infinity());
            highest = scores[one] > highest ? scores[one] : highest;
        }
        if (!(largest<Number>(highest) > wanted.least())) return;
        const Number* each = (const Number*)scores;
        for (int64_t at = 0; at < std::min<int64_t>(count * L, end - first); at++) wanted.offer(each[at], first + at);
    }

    // The slots that have not been used for longest, among the first `end`.
    void find_unused(const Number* since, int64_t end, Largest<Number>& wanted) const {
        wanted.restart();
        for (int64_t first = 0; first < end; first += L) {
            Vec scores[1] = {load(since + first, end - first)};
            offer(scores, first, end, wanted);
        }
    }

    // The slots of the largest cosines in whole steps, among the first `end`.
    void find_nearest(const Vec* state, const Number* told, int64_t end, Room& room) const {
        Number* query = room.query.data();
        for (int64_t head = 0; head < heads; head++) {
            const Number* key = told + head * width;
            const Number norm = std::max(std::sqrt(dot(key, key)), floor);
            for (int64_t column = 0; column < width; column++) query[head * width + column] = key[column] / norm;
            room.nearest[head].restart();
        }
        const Vec* scales = state + memory_size;
        auto look = [&](auto together, int64_t block) {
            constexpr int count = together;
            const Vec* memory = state + block * width;
            in_tiles<4>(heads, [&](auto at_once, int64_t head) {
                constexpr int tile = at_once;
                Vec total[tile][count]{};
                for (int64_t column = 0; column < width; column++)
                    for (int own = 0; own < tile; own++)
                        for (int one = 0; one < count; one++)
                            total[own][one] += query[(head + own) * width + column] * memory[one * width + column];
                // Rounds to even.
                const Number big = Number(3) * (Number(1) / std::numeric_limits<Number>::epsilon()) / 2;
                for (int own = 0; own < tile; own++) {
                    for (int one = 0; one < count; one++) total[own][one] = (total[own][one] * scales[block + one] + big) - big;
                    offer(total[own], block * L, end, room.nearest[head + own]);
                }
            });
        };
        const int64_t until = (end + L - 1) / L;
        int64_t block = 0;
        for (; block + 4 <= until; block += 4) look(Constant<4>(), block);
        for (; block < until; block++) look(Constant<1>(), block);
    }

    // Softmax shares of the cosines between a head's key and what it has found.
    void share(const Parts& step, int64_t head) const {
        const Number* key = step.told + head * width;
        const Number scale = scale_of(key), strength = step.told[strength_at + head];
        Number *cosine = step.cosine + head * per_read, *share = step.share + head * per_read;
        for (int64_t at = 0; at < per_read; at++) {
            const Number* row = step.memory + step.found[head * per_read + at] * width;
            cosine[at] = dot(row, key) * scale_of(row) * scale;
            share[at] = strength * cosine[at];
        }
        const Number most = *std::max_element(share, share + per_read);
        Number total = 0;
        map(per_read, [&](int64_t at, int64_t n) { store(share + at, exponential(load(share + at, n) - most), n); });
        for (int64_t at = 0; at < per_read; at++) total += share[at];
        for (int64_t at = 0; at < per_read; at++) share[at] /= total;
    }

    // ------------------------------------------------------------------------------------------ steps

    // What goes to each place (eq. 5).
    void weigh(const Parts& step, Number* weights) const {
        for (int64_t place = 0; place < written; place++) {
            const int64_t head = place / (per_read + 1);
            const Number again = step.told[again_at + head];
            const Number part = empties(place) ? 1 - again : again * step.before[place - head];
            weights[place] = step.told[gate_at + head] * part;
        }
    }

    void write(const Parts& step, Room& room, Vec* state) const {
        for (int64_t place = 0; place < written; place++)
            std::copy_n(step.memory + step.places[place] * width, width, old_row(step, place));
        for (int64_t place = per_read; place < written; place += per_read + 1) {
            Number* row = step.memory + step.places[place] * width;
            for (int64_t column = 0; column < width; column++) row[column] *= 0;
        }
        for (int64_t place = 0; place < written; place++)
            add(step.memory + step.places[place] * width, room.weights[place],
                step.told + add_at + place / (per_read + 1) * width);
        for (int64_t place = 0; place < written; place++)
            note(step.places[place], step.memory + step.places[place] * width, state);
    }

    // Notes what was used by weights that sum up to more than the threshold.
    void touch(const Parts& step, Room& room, int64_t time) const {
        auto each = [&](auto function) {
            for (int64_t place = 0; place < written; place++) function(step.places[place], room.weights[place]);
            for (int64_t place = 0; place < read_size; place++) function(step.found[place], step.share[place]);
        };
        each([&](int64_t slot, Number weight) { room.use[slot] += weight; });
        each([&](int64_t slot, Number) { if (room.use[slot] > Number(P::used_above)) step.since[slot] = -Number(time); });
        each([&](int64_t slot, Number) { room.use[slot] = 0; });
    }

    void move(const At& at, Room& room, Number* reads_to) const {
        const Parts step = parts(at, room);
        auto reach = [&](int64_t more) { return std::min(*step.end + more, slots); };
        find_unused(step.since, reach(heads), room.unused);
        // In order of the slots the heads have theirs.
        std::vector<int64_t>& own = room.unused.slots;
        std::sort(own.begin(), own.end());
        for (int64_t head = 0; head < heads; head++) {
            int64_t* to = step.places + head * (per_read + 1);
            std::copy_n(step.last_slots + head * per_read, per_read, to);
            to[per_read] = own[head];
        }
        std::copy_n(step.last_weights, read_size, step.before);
        weigh(step, room.weights.data());
        write(step, room, at.before);
        *step.end = std::max(*step.end, own.back() + 1);
        find_nearest(at.before, step.told, reach(per_read), room);
        std::fill_n(reads_to, heads * width, Number(0));
        for (int64_t head = 0; head < heads; head++) {
            int64_t* found = step.found + head * per_read;
            room.nearest[head].in_order(found);
            *step.end = std::max(*step.end, found[per_read - 1] + 1);
            share(step, head);
            for (int64_t at = 0; at < per_read; at++)
                add(reads_to + head * width, step.share[head * per_read + at], step.memory + found[at] * width);
        }
        touch(step, room, at.step + 1);
        std::copy_n(step.found, read_size, step.last_slots);
        std::copy_n(step.share, read_size, step.last_weights);
    }

    // Backward through what a head read: the gradient of reads and shares to those of rows (added), key and strength.
    void read_backward(const Parts& step, int64_t head, const Number* d_reads, const Number* d_shares, Number* d_memory,
                       Number* gradient) const {
        const Number *key = step.told + head * width, *read = d_reads + head * width;
        const Number scale = scale_of(key), strength = step.told[strength_at + head];
        const Number *cosine = step.cosine + head * per_read, *share = step.share + head * per_read;
        const int64_t* found = step.found + head * per_read;
        Number *d_key = gradient + head * width, &d_strength = gradient[strength_at + head], mean = 0, along = 0;
        std::fill_n(d_key, width, Number(0));
        d_strength = 0;
        auto d_share = [&](int64_t at) { return dot(read, step.memory + found[at] * width) + d_shares[head * per_read + at]; };
        for (int64_t at = 0; at < per_read; at++) mean += share[at] * d_share(at);
        for (int64_t at = 0; at < per_read; at++) {
            const Number *row = step.memory + found[at] * width, of_row = scale_of(row);
            Number* d_row = d_memory + found[at] * width;
            const Number d_score = share[at] * (d_share(at) - mean), d_cosine = d_score * strength;
            d_strength += d_score * cosine[at];
            along += d_cosine * cosine[at];
            add(d_row, share[at], read);
            add(d_row, d_cosine * of_row * scale, key);
            if (of_row < floored) add(d_row, -d_cosine * cosine[at] * of_row * of_row, row);
            add(d_key, d_cosine * of_row * scale, row);
        }
        if (scale < floored) add(d_key, -along * scale * scale, key);
    }

    // Backward through a step, and the memory back to what it was before it.
    void move_backward(const At& at, Room& room, const Number* d_reads, Number* gradient, Vec*) const {
        const Parts step = parts(at, room);
        Number *d_memory = P::d_memory + at.row * slots * width, *d_weights = P::d_weights + at.row * read_size;
        for (int64_t head = 0; head < heads; head++) read_backward(step, head, d_reads, d_weights, d_memory, gradient);
        std::fill_n(gradient + add_at, add_at, Number(0));
        std::fill_n(gradient + gate_at, 2 * heads, Number(0));
        weigh(step, room.weights.data());
        for (int64_t place = 0; place < written; place++) {
            const int64_t head = place / (per_read + 1);
            const Number* d_row = d_memory + step.places[place] * width;
            const Number d_weight = dot(step.told + add_at + head * width, d_row);
            const Number gate = step.told[gate_at + head], again = step.told[again_at + head];
            add(gradient + add_at + head * width, room.weights[place], d_row);
            const Number own = empties(place) ? 1 : step.before[place - head];
            gradient[gate_at + head] += d_weight * own * (empties(place) ? 1 - again : again);
            gradient[again_at + head] += d_weight * own * (empties(place) ? -gate : gate);
            if (!empties(place)) d_weights[place - head] = d_weight * gate * again;
        }
        for (int64_t place = per_read; place < written; place += per_read + 1)
            std::fill_n(d_memory + step.places[place] * width, width, Number(0));
        for (int64_t place = 0; place < written; place++)
            std::copy_n(old_row(step, place), width, step.memory + step.places[place] * width);
        squash_backward(at.emitted, step.told, gradient);
    }

public:
    explicit SAM(const SAMProblem<Number>& problem) : Base(problem) {}
};

}  // namespace

MEMNET_OPERATOR(SAM, SAMProblem)
