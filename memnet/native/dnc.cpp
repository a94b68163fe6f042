// A Differentiable Neural Computer over whole sequences, forward and backward (Graves et al. 2016, Nature 538:471).
//
// The definition is the plain step in dnc.py, cells.py, addressing.py, allocation.py, links.py and memory.py; this file
// computes the same, equation by equation. Links are kept as rows of whole vectors, as many rows as there are lanes in
// all blocks: L[i][j] with i along the rows. Rows and lanes after the last slot hold zeros.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "controlled.h"

namespace {

// Laid out as dnc.py fills it in. The memory's part of a state: memory, read and write weights, usage, precedence, links.
template <class Number> struct DNCProblem : Problem<Number> {
    int64_t masked, deallocate, sharp, linked, usage_gradient;
    double mask_floor, least_used, sharp_floor, norm_epsilon;
    const Number *norm_weight, *norm_bias;  // of the interface's layer norm, or null
    Number *d_norm_weight, *d_norm_bias;
};

template <class Number> class DNC : public Controlled<Number, DNCProblem<Number>, DNC<Number>> {
    typedef Controlled<Number, DNCProblem<Number>, DNC<Number>> Base;
    typedef Lanes<Number> Vec;
    typedef Step<Number> At;
    friend Base;
    using P = DNCProblem<Number>;
    using Base::masked, Base::deallocate, Base::sharp, Base::linked, Base::slots, Base::width, Base::reads;
    using Base::writes, Base::blocks, Base::memory_size, Base::L, Base::map, Base::each_block;

    const int64_t room_of_slots = blocks * L, links_size = room_of_slots * blocks, ways = reads * writes * blocks;
    const int64_t modes = 2 * writes + 1, read_size = reads * blocks, write_size = writes * blocks;
    // Where each part of the interface begins.
    const int64_t read_key = 0, read_mask = reads * width, read_strength = read_mask + masked * reads * width;
    const int64_t write_key = read_strength + reads, write_mask = write_key + writes * width;
    const int64_t write_strength = write_mask + masked * writes * width, free = write_strength + writes;
    const int64_t allocation_gate = free + reads, write_gate = allocation_gate + writes, erase = write_gate + writes;
    const int64_t add = erase + writes * width, mode = add + writes * width;
    const int64_t sharpness = mode + linked * reads * modes, emitted = sharpness + 2 * sharp * reads * writes;
    // Where each part of a state begins, in vectors.
    const int64_t reads_at = memory_size, writes_at = reads_at + read_size, usage_at = writes_at + write_size;
    const int64_t precedence_at = usage_at + blocks, links_at = precedence_at + linked * write_size;
    const int64_t state_size = links_at + linked * writes * links_size;
    const int64_t scales = (masked ? reads + writes : 2) * blocks;
    const int64_t scalars = reads + writes + 2 * masked * (reads + writes) * width;
    const int64_t rest_size = blocks + 6 * write_size + 2 * read_size + scales + 2 * sharp * ways + (scalars + L - 1) / L;
    const int64_t kept_size = 2 * linked * ways + rest_size;  // what following links gives, and the rest

    // What one row did in one step: what it began with, what it left, and between them.
    struct Parts {
        const Vec *memory, *read_weights, *write_weights, *usage, *precedence, *links;
        Vec *next_memory, *next_reads, *next_writes, *next_usage, *next_precedence, *next_links;
        Vec *retained, *used;                    // (block); (write, block): usage after each head's last write
        Vec *in_use, *before, *allocation;       // (write, block): usage, the share of the slots before one, and a
        Vec *write_similarity, *write_content, *read_similarity, *read_content, *write_scale, *read_scale;
        Vec *backward, *forward;                 // (read, write, block)
        Vec *sharp_backward, *sharp_forward;     // the same where links are not sharpened
        Number *write_key_scale, *read_key_scale, *columns, *query;
        Number* told;
    };
    Parts parts(const At& at) const {
        Parts step;
        step.memory = at.before, step.next_memory = at.after;
        step.read_weights = at.before + reads_at, step.next_reads = at.after + reads_at;
        step.write_weights = at.before + writes_at, step.next_writes = at.after + writes_at;
        step.usage = at.before + usage_at, step.next_usage = at.after + usage_at;
        step.precedence = at.before + precedence_at, step.next_precedence = at.after + precedence_at;
        step.links = at.before + links_at, step.next_links = at.after + links_at;
        Vec* rest = this->kept ? at.kept + 2 * linked * ways : at.rest;
        auto take = [&](int64_t count) { return (rest += count) - count; };
        step.retained = take(blocks);
        for (Vec** part : {&step.used, &step.in_use, &step.before, &step.allocation, &step.write_similarity,
                           &step.write_content})
            *part = take(write_size);
        step.read_similarity = take(read_size), step.read_content = take(read_size);
        step.write_scale = take(masked ? write_size : blocks), step.read_scale = take(masked ? read_size : blocks);
        step.backward = at.kept, step.forward = at.kept + linked * ways;
        step.sharp_backward = sharp ? take(ways) : step.backward;
        step.sharp_forward = sharp ? take(ways) : step.forward;
        step.write_key_scale = (Number*)rest, step.read_key_scale = step.write_key_scale + writes;
        step.columns = step.read_key_scale + reads, step.query = step.columns + masked * (reads + writes) * width;
        step.told = at.parameters;
        return step;
    }
    Search<Number> write_search(const Parts& step) const {
        const Number* told = step.told;
        return {writes, step.memory, told + write_key, masked ? told + write_mask : nullptr, told + write_strength,
                step.write_similarity, step.write_content, step.write_scale, step.write_key_scale, step.columns,
                step.query};
    }
    Search<Number> read_search(const Parts& step) const {
        const Number* told = step.told;
        const int64_t after = writes * width;
        return {reads, step.next_memory, told + read_key, masked ? told + read_mask : nullptr, told + read_strength,
                step.read_similarity, step.read_content, step.read_scale, step.read_key_scale, step.columns + after,
                step.query + after};
    }

    void gather(const Number* const* state, int64_t row, Vec* to) const {
        this->gather_memory(row_of(state[0], row, slots * width), to);
        this->gather_rows(reads, row_of(state[1], row, reads * slots), to + reads_at);
        this->gather_rows(writes, row_of(state[2], row, writes * slots), to + writes_at);
        this->gather_rows(1, row_of(state[3], row, slots), to + usage_at);
        if (!linked) return;
        this->gather_rows(writes, row_of(state[4], row, writes * slots), to + precedence_at);
        std::fill_n(to + links_at, writes * links_size, Vec{});
        for (int64_t head = 0; head < writes; head++)
            this->gather_rows(slots, row_of(state[5], row * writes + head, slots * slots), to + links_at + head * links_size);
    }
    void scatter(const Vec* from, Number* const* state, int64_t row) const {
        this->scatter_memory(from, row_of(state[0], row, slots * width));
        this->scatter_rows(reads, from + reads_at, row_of(state[1], row, reads * slots));
        this->scatter_rows(writes, from + writes_at, row_of(state[2], row, writes * slots));
        this->scatter_rows(1, from + usage_at, row_of(state[3], row, slots));
        if (!linked) return;
        this->scatter_rows(writes, from + precedence_at, row_of(state[4], row, writes * slots));
        for (int64_t head = 0; head < writes; head++)
            this->scatter_rows(slots, from + links_at + head * links_size, row_of(state[5], row * writes + head, slots * slots));
    }

    // What a step needs and nobody else.
    struct Room {
        std::vector<Vec> sums, weights, content, used, followed, lines;
        std::vector<Number> normalized, centered;
        explicit Room(const DNC& of)
            : sums(std::max(6 * of.writes * of.width, of.search_room(std::max(of.reads, of.writes)))),
              weights(of.read_size), content(std::max(of.read_size, of.write_size)), used(4 * of.blocks),
              followed(2 * of.ways), lines(of.reads * of.room_of_slots), normalized(of.emitted + of.L),
              centered(of.emitted) {}
    };

    // ------------------------------------------------------------------------------------------ the interface

    // What the last projection gives, normalised where it is to be. Gives one over its deviation.
    Number normalize(const Number* raw, Room& room) const {
        const int64_t count = emitted;
        Number mean = 0, square = 0;
        for (int64_t at = 0; at < count; at++) mean += raw[at];
        mean /= count;
        for (int64_t at = 0; at < count; at++) square += (raw[at] - mean) * (raw[at] - mean);
        const Number scale = 1 / std::sqrt(square / count + Number(P::norm_epsilon));
        for (int64_t at = 0; at < count; at++) {
            room.centered[at] = (raw[at] - mean) * scale;
            room.normalized[at] = room.centered[at] * P::norm_weight[at] + P::norm_bias[at];
        }
        return scale;
    }

    // Calls sigmoids(first, count), masks(first, count), of those with a floor, and oneplus(first, count).
    template <class Sigmoids, class Masks, class Oneplus>
    void each_squashed(Sigmoids sigmoids, Masks masks, Oneplus oneplus) const {
        masks(read_mask, read_strength - read_mask);
        masks(write_mask, write_strength - write_mask);
        sigmoids(free, add - free);
        oneplus(read_strength, reads);
        oneplus(write_strength, writes);
        oneplus(sharpness, emitted - sharpness);
    }

    // Each part squashed into its range.
    void squash(const At& at, Room& room) const {
        if (P::norm_weight) normalize(at.emitted, room);
        const Number* raw = P::norm_weight ? room.normalized.data() : at.emitted;
        Number* to = at.parameters;
        std::copy_n(raw, emitted, to);
        auto put = [&](int64_t first, int64_t count, auto function) {
            map(count, [&](int64_t place, int64_t n) {
                store(to + first + place, function(load(raw + first + place, n)), n); });
        };
        const Number floor = P::mask_floor;
        each_squashed([&](int64_t first, int64_t count) { put(first, count, [](Vec x) { return sigmoid(x); }); },
                      [&](int64_t first, int64_t count) {
                          put(first, count, [&](Vec x) { return floor + (1 - floor) * sigmoid(x); }); },
                      [&](int64_t first, int64_t count) { put(first, count, [](Vec x) { return 1 + softplus(x); }); });
        for (Number* one = to + mode; one < to + sharpness; one += modes) {
            const Number most = *std::max_element(one, one + modes);
            for (int64_t way = 0; way < modes; way++) one[way] -= most;
        }
        map(sharpness - mode, [&](int64_t place, int64_t n) {
            store(to + mode + place, exponential(load(to + mode + place, n)), n); });
        for (Number* one = to + mode; one < to + sharpness; one += modes) {
            Number whole = 0;
            for (int64_t way = 0; way < modes; way++) whole += one[way];
            for (int64_t way = 0; way < modes; way++) one[way] /= whole;
        }
    }

    // From the gradient of the squashed parts to that of what the last projection gives, in place.
    void squash_backward(const At& at, Room& room, Number* gradient) const {
        const Number* told = at.parameters;
        const Number scale = P::norm_weight ? normalize(at.emitted, room) : 1;
        const Number* raw = P::norm_weight ? room.normalized.data() : at.emitted;
        const Number floor = P::mask_floor;
        each_squashed(
            [&](int64_t first, int64_t count) {
                for (int64_t place = first; place < first + count; place++)
                    gradient[place] *= told[place] * (1 - told[place]);
            },
            [&](int64_t first, int64_t count) {
                for (int64_t place = first; place < first + count; place++)
                    gradient[place] *= (told[place] - floor) * (1 - told[place]) / (1 - floor);
            },
            [&](int64_t first, int64_t count) {
                map(count, [&](int64_t place, int64_t n) {
                    const Vec slope = softplus_slope(load(raw + first + place, n));
                    store(gradient + first + place, load(gradient + first + place, n) * slope, n); });
            });
        for (int64_t first = mode; first < sharpness; first += modes) {
            Number mean = 0;
            for (int64_t way = first; way < first + modes; way++) mean += gradient[way] * told[way];
            for (int64_t way = first; way < first + modes; way++) gradient[way] = told[way] * (gradient[way] - mean);
        }
        if (!P::norm_weight) return;
        Number mean = 0, along = 0;
        for (int64_t place = 0; place < emitted; place++) {
            if (P::d_norm_weight) P::d_norm_weight[place] += gradient[place] * room.centered[place];
            if (P::d_norm_bias) P::d_norm_bias[place] += gradient[place];
            gradient[place] *= P::norm_weight[place];
            mean += gradient[place];
            along += gradient[place] * room.centered[place];
        }
        for (int64_t place = 0; place < emitted; place++)
            gradient[place] = scale * (gradient[place] - (mean + along * room.centered[place]) / emitted);
    }

    // Zero after the last slot.
    void cut(int64_t rows, Vec* values) const {
        for (int64_t row = 0; row < rows; row++)
            for (int64_t lane = slots - (blocks - 1) * L; lane < L; lane++) values[row * blocks + blocks - 1][lane] = 0;
    }
    static Number* lanes_of(Vec* values) { return (Number*)values; }
    static const Number* lanes_of(const Vec* values) { return (const Number*)values; }

    // ------------------------------------------------------------------------------------------ allocation

    // By what slots are ordered: their usage in whole steps, of 2^(digits - 6) for all. Of few slots each has a number of
    // its own, in which equal ones follow each other.
    static constexpr int digits = std::numeric_limits<Number>::digits - 1;
    const Number half = std::exp2(Number(digits - 7));
    const bool apart = slots <= 128;
    void in_order(const Vec* usage, Vec* order) const {
        const Number whole = 3 * std::exp2(Number(digits - 1));  // to which nothing but whole numbers can be added
        Vec places;
        for (int lane = 0; lane < L; lane++) places[lane] = lane;
        for (int64_t block = 0; block < blocks; block++) {
            const Vec steps = usage[block] * (2 * half) + whole - whole;
            order[block] = apart ? (steps - half) * 128 + (places + Number(block * L)) : steps;
        }
    }

    // For every slot, the sum of what the slots have that are before it, or after it, in their order.
    template <bool after> void sum_by_order(const Vec* order, const Vec* what, Vec* to) const {
        const Number *one = lanes_of(order), *term = lanes_of(what);
        Vec places;
        for (int lane = 0; lane < L; lane++) places[lane] = lane;
        each_block([&](auto together, int64_t block) {
            constexpr int count = together;
            Vec mine[count], total[count]{};
            for (int at = 0; at < count; at++) mine[at] = order[block + at];
            if (apart) {
                for (int64_t slot = 0; slot < slots; slot++)
                    for (int at = 0; at < count; at++)
                        total[at] += (after ? one[slot] > mine[at] : one[slot] < mine[at]) ? all(term[slot]) : Vec{};
                for (int at = 0; at < count; at++) to[block + at] = total[at];
                return;
            }
            auto add_all = [&](int64_t first, int64_t end, auto counts) {
                for (int64_t slot = first; slot < end; slot++)
                    for (int at = 0; at < count; at++)
                        total[at] += counts(all(one[slot]), mine[at], slot, at) ? all(term[slot]) : Vec{};
            };
            // Of equal slots the first comes first.
            const int64_t own = block * L, end = std::min(own + count * L, slots);
            add_all(0, own, [](Vec other, Vec mine, int64_t, int) { return after ? other > mine : other <= mine; });
            add_all(own, end, [&](Vec other, Vec mine, int64_t slot, int at) {
                const Vec self = places + Number(own + at * L), where = all(Number(slot));
                return after ? (other > mine) | ((other == mine) & (where > self))
                             : (other < mine) | ((other == mine) & (where < self));
            });
            add_all(end, slots, [](Vec other, Vec mine, int64_t, int) { return after ? other >= mine : other < mine; });
            for (int at = 0; at < count; at++) to[block + at] = total[at];
        });
    }

    // Where each write head may write, one after the other. `room` holds two vectors a block.
    void allocate(const Parts& step, Vec* room) const {
        const Number least = P::least_used;
        Vec *order = room, *logs = room + blocks;
        std::copy_n(step.next_usage, blocks, step.in_use);
        for (int64_t head = 0; head < writes; head++) {
            Vec *in_use = step.in_use + head * blocks, *before = step.before + head * blocks;
            Vec *allocation = step.allocation + head * blocks;
            for (int64_t block = 0; block < blocks; block++) {
                allocation[block] = least + (1 - least) * in_use[block];
                logs[block] = logarithm(allocation[block]);
            }
            in_order(allocation, order);
            sum_by_order<false>(order, logs, before);
            const Number taken = step.told[allocation_gate + head] * step.told[write_gate + head];
            for (int64_t block = 0; block < blocks; block++) {
                before[block] = exponential(before[block]);
                allocation[block] = (1 - allocation[block]) * before[block];
            }
            cut(1, allocation);
            for (int64_t block = 0; head + 1 < writes && block < blocks; block++)
                in_use[blocks + block] = in_use[block] + (1 - in_use[block]) * (taken * allocation[block]);
        }
    }

    // From the gradient of the allocations (write, block) to that of usage (added), and of the gates (added). `room`
    // holds four vectors a block.
    void allocate_backward(const Parts& step, Vec* d_allocation, Vec* d_usage, Number* gradient, Vec* room) const {
        const Number least = P::least_used;
        Vec *d_in_use = room, *used = room + blocks, *after = used + blocks, *order = after + blocks;
        std::fill_n(d_in_use, blocks, Vec{});
        for (int64_t head = writes - 1; head >= 0; head--) {
            const Vec *in_use = step.in_use + head * blocks, *before = step.before + head * blocks;
            const Vec* allocation = step.allocation + head * blocks;
            Vec *d_own = d_allocation + head * blocks, d_taken{};
            const Number by_allocation = step.told[allocation_gate + head], writing = step.told[write_gate + head];
            for (int64_t block = 0; block < blocks; block++) {
                const Vec share = d_in_use[block] * (1 - in_use[block]);
                d_taken += share * allocation[block];
                d_own[block] += share * (by_allocation * writing);
                d_in_use[block] *= 1 - by_allocation * writing * allocation[block];
                used[block] = least + (1 - least) * in_use[block];
            }
            in_order(used, order);
            gradient[allocation_gate + head] += sum<Number>(d_taken) * writing;
            gradient[write_gate + head] += sum<Number>(d_taken) * by_allocation;
            Vec* terms = d_own;
            for (int64_t block = 0; block < blocks; block++) {
                const Vec mine = d_own[block];
                terms[block] = mine * allocation[block];
                d_in_use[block] -= (1 - least) * mine * before[block];
            }
            cut(1, terms);
            sum_by_order<true>(order, terms, after);
            for (int64_t block = 0; block < blocks; block++) d_in_use[block] += (1 - least) * after[block] / used[block];
        }
        cut(1, d_in_use);
        for (int64_t block = 0; block < blocks; block++) d_usage[block] += d_in_use[block];
    }

    // ------------------------------------------------------------------------------------------ links

    // L_t of one head.
    void link(const Vec* links, const Vec* weights, const Vec* precedence, Vec* to) const {
        for (int64_t slot = 0; slot < slots; slot++) {
            const Number later = lanes_of(weights)[slot], stays = 1 - later;
            const Vec* from = links + slot * blocks;
            Vec* into = to + slot * blocks;
            for (int64_t block = 0; block < blocks; block++)
                into[block] = (stays - weights[block]) * from[block] + later * precedence[block];
        }
        // Last, so that no vector is loaded of which a number has just been stored.
        for (int64_t slot = 0; slot < slots; slot++) lanes_of(to + slot * blocks)[slot] = 0;
    }

    // Along the rows and the columns of links, for all read heads:
    //     rows[r](i) = sum_j L[i, j] by_row[r](j)        columns[r](j) = sum_i by_column[r](i) L[i, j]        (added)
    // Vectors of one head follow those of another after `step` of them in rows and columns.
    void follow(const Vec* links, const Vec* by_row, const Vec* by_column, int64_t from_step, Vec* rows, Vec* columns,
                int64_t step, Vec* lines) const {
        in_tiles<4>(reads, [&](auto heads, int64_t head) {
            constexpr int count = heads;
            const Vec* by = by_row + head * from_step;
            in_tiles<2>(slots, [&](auto together, int64_t slot) {
                constexpr int some = together;
                const Vec* row = links + slot * blocks;
                Vec total[some][count]{};
                for (int64_t block = 0; block < blocks; block++)
                    for (int one = 0; one < some; one++)
                        for (int at = 0; at < count; at++)
                            total[one][at] += row[one * blocks + block] * by[at * from_step + block];
                for (int one = 0; one < some; one++)
                    for (int at = 0; at < count; at++) lines[at * room_of_slots + slot + one] = total[one][at];
            });
            for (int at = 0; at < count; at++)
                for (int64_t block = 0; block < blocks; block++)
                    rows[(head + at) * step + block] += sums<Number>(lines + at * room_of_slots + block * L);
            in_tiles<2>(blocks, [&](auto vectors, int64_t block) {
                Vec total[count][vectors];
                for (int at = 0; at < count; at++)
                    for (int one = 0; one < vectors; one++) total[at][one] = columns[(head + at) * step + block + one];
                multiply<count, vectors, Number>(slots, lanes_of(by_column + head * from_step), from_step * L, 1,
                                                 links + block, blocks, total);
                for (int at = 0; at < count; at++)
                    for (int one = 0; one < vectors; one++) columns[(head + at) * step + block + one] = total[at][one];
            });
        });
    }

    // Backward through following the links (d_forward, d_backward of all read heads) and making them, of one head: the
    // gradient of L_t to that of L_{t-1}, in place, and to those of the weights and the precedence before (added).
    void link_backward(const Vec* links, const Vec* weights, const Vec* precedence, const Vec* read_weights,
                       const Vec* d_forward, const Vec* d_backward, Vec* d_links, Vec* d_weights, Vec* d_precedence,
                       Vec* lines) const {
        const int64_t step = writes * blocks;
        in_tiles<2>(blocks, [&](auto vectors, int64_t block) {
            constexpr int count = vectors;
            in_tiles<4>(slots, [&](auto together, int64_t slot) {
                constexpr int some = together;
                Vec total[some][count];
                Vec* own = d_links + slot * blocks + block;
                for (int one = 0; one < some; one++)
                    for (int at = 0; at < count; at++) total[one][at] = own[one * blocks + at];
                multiply<some, count, Number>(reads, lanes_of(d_forward) + slot, 1, step * L, read_weights + block,
                                                    blocks, total);
                multiply<some, count, Number>(reads, lanes_of(read_weights) + slot, 1, blocks * L,
                                                    d_backward + block, step, total);
                for (int one = 0; one < some; one++)
                    for (int at = 0; at < count; at++) own[one * blocks + at] = total[one][at];
            });
        });
        for (int64_t slot = 0; slot < slots; slot++) lanes_of(d_links + slot * blocks)[slot] = 0;
        std::fill_n(lines, room_of_slots, Vec{});
        for (int64_t block = 0; block < blocks; block++) {
            const Vec own = weights[block], before = precedence[block];
            Vec falling{}, d_before{};
            for (int64_t slot = 0; slot < slots; slot++) {
                const Number later = lanes_of(weights)[slot];
                Vec& gradient = d_links[slot * blocks + block];
                const Vec along = gradient * links[slot * blocks + block];
                lines[slot] += gradient * before - along;
                falling += along;
                d_before += later * gradient;
                gradient *= 1 - later - own;
            }
            d_weights[block] -= falling;
            d_precedence[block] += d_before;
        }
        for (int64_t block = 0; block < blocks; block++) d_weights[block] += sums<Number>(lines + block * L);
    }

    // What following links gives, its blur undone.
    void sharpen(const Vec* weights, Number sharpness, Vec* to) const {
        const Number floor = P::sharp_floor, tiny = std::numeric_limits<Number>::min();
        const Number scale = 1 / (most(weights) + floor);
        Vec total{};
        for (int64_t block = 0; block < blocks; block++) {
            const Vec share = weights[block] * scale;
            to[block] = share < tiny ? Vec{} : exponential(sharpness * logarithm(share < tiny ? all(tiny) : share));
            total += to[block];
        }
        const Number share = 1 / (sum<Number>(total) + floor);
        for (int64_t block = 0; block < blocks; block++) to[block] *= share;
    }
    Number most(const Vec* weights) const {
        Vec highest = weights[0];
        for (int64_t block = 1; block < blocks; block++) highest = weights[block] > highest ? weights[block] : highest;
        return largest<Number>(highest);
    }

    // From the gradient of that to that of what following gave, in place; gives the sharpness's.
    Number sharpen_backward(const Vec* weights, Number sharpness, const Vec* sharpened, Vec* gradient) const {
        const Number floor = P::sharp_floor, tiny = std::numeric_limits<Number>::min();
        const Number highest = most(weights), scale = 1 / (highest + floor);
        // The powers are what they were before they were divided by their sum, s: x / (s + floor).
        Vec powers{}, along{}, logs{};
        for (int64_t block = 0; block < blocks; block++) {
            const Vec share = weights[block] * scale;
            powers += share < tiny ? Vec{} : exponential(sharpness * logarithm(share < tiny ? all(tiny) : share));
            along += gradient[block] * sharpened[block];
        }
        const Number whole = sum<Number>(powers) + floor, mean = sum<Number>(along);
        Vec d_scale{}, ties{};
        for (int64_t block = 0; block < blocks; block++) {
            const Vec share = weights[block] * scale, safe = share < tiny ? all(tiny) : share;
            const Vec power = sharpened[block] * whole, d_power = (gradient[block] - mean) / whole;
            logs += share < tiny ? Vec{} : d_power * power * logarithm(safe);
            // Of a power of one the slope at zero is one.
            const Vec at_zero = all(Number(sharpness == 1));
            const Vec d_share = d_power * (share < tiny ? at_zero : sharpness * power / safe);
            gradient[block] = d_share * scale;
            d_scale += d_share * weights[block];
            ties += weights[block] == highest ? all(Number(1)) : Vec{};
        }
        for (int64_t lane = slots - (blocks - 1) * L; lane < L; lane++) ties[lane] -= highest == 0;
        const Number d_highest = -sum<Number>(d_scale) * scale * scale / sum<Number>(ties);
        for (int64_t block = 0; block < blocks; block++)
            gradient[block] += weights[block] == highest ? all(d_highest) : Vec{};
        cut(1, gradient);
        return sum<Number>(logs);
    }

    // ------------------------------------------------------------------------------------------ steps

    // How much of every slot is retained, and what is used after each head's last write.
    void use(const Parts& step) const {
        for (int64_t block = 0; block < blocks; block++) {
            Vec retained = all<Number>(1), usage = step.usage[block];
            for (int64_t head = 0; head < reads; head++)
                retained *= 1 - step.told[free + head] * step.read_weights[head * blocks + block];
            for (int64_t head = 0; head < writes; head++) {
                const Vec written = step.write_weights[head * blocks + block];
                step.used[head * blocks + block] = usage = usage + written - usage * written;
            }
            step.retained[block] = retained;
        }
    }

    void move(const At& at, Room& room, Number* reads_to) const {
        const Parts step = parts(at);
        const Number* told = step.told;
        const bool again = !reads_to;  // with what was kept
        if (!again) use(step);
        for (int64_t block = 0; block < blocks; block++)
            step.next_usage[block] = step.used[(writes - 1) * blocks + block] * step.retained[block];
        if (!again) allocate(step, room.used.data());
        if (!again) this->find(write_search(step));
        for (int64_t head = 0; head < writes; head++) {
            const Number by_allocation = told[allocation_gate + head], gate = told[write_gate + head];
            for (int64_t place = head * blocks; place < (head + 1) * blocks; place++) {
                const Vec content = step.write_content[place];
                step.next_writes[place] = gate * (content + by_allocation * (step.allocation[place] - content));
            }
        }
        this->write(step.memory, step.next_memory, step.next_writes, told + erase, told + add,
                    deallocate ? step.retained : nullptr, [](auto...) {});
        if (linked) move_links(step, room, !again);
        if (!again) this->find(read_search(step));
        mix(step);
        if (again) return;
        Vec* total = room.sums.data();
        std::fill_n(total, reads * width, Vec{});
        each_block([&](auto together, int64_t block) {
            constexpr int count = together;
            const Vec* memory = step.next_memory + block * width;
            for (int64_t head = 0; head < reads; head++) {
                Vec weights[count];
                for (int one = 0; one < count; one++) weights[one] = step.next_reads[head * blocks + block + one];
                for (int64_t column = 0; column < width; column++) {
                    Vec sum = total[head * width + column];
                    for (int one = 0; one < count; one++) sum += weights[one] * memory[one * width + column];
                    total[head * width + column] = sum;
                }
            }
        });
        int64_t place = 0;
        for (; place + L <= reads * width; place += L) store(reads_to + place, sums<Number>(total + place));
        for (; place < reads * width; place++) reads_to[place] = sum<Number>(total[place]);
    }

    void move_links(const Parts& step, Room& room, bool follows) const {
        if (follows) std::fill_n(step.backward, 2 * ways, Vec{});
        for (int64_t head = 0; head < writes; head++) {
            const Vec *weights = step.next_writes + head * blocks, *precedence = step.precedence + head * blocks;
            Vec* links = step.next_links + head * links_size;
            link(step.links + head * links_size, weights, precedence, links);
            if (follows)
                follow(links, step.read_weights, step.read_weights, blocks, step.forward + head * blocks,
                       step.backward + head * blocks, writes * blocks, room.lines.data());
            Vec whole{};
            for (int64_t block = 0; block < blocks; block++) whole += weights[block];
            const Number stays = 1 - sum<Number>(whole);
            for (int64_t block = 0; block < blocks; block++)
                step.next_precedence[head * blocks + block] = stays * precedence[block] + weights[block];
        }
        for (int64_t way = 0; sharp && follows && way < reads * writes; way++) {
            sharpen(step.backward + way * blocks, step.told[sharpness + way], step.sharp_backward + way * blocks);
            sharpen(step.forward + way * blocks, step.told[sharpness + reads * writes + way], step.sharp_forward + way * blocks);
        }
    }

    // Calls function(mode, weightings) for the ways in which a read head may find its slots by links.
    template <class Function> void each_way(const Parts& step, int64_t head, Function function) const {
        for (int64_t way = 0; way < writes; way++) {
            const int64_t place = (head * writes + way) * blocks;
            function(way, step.sharp_backward + place, place);
            function(writes + 1 + way, step.sharp_forward + place, ways + place);
        }
    }

    // Where every head reads.
    void mix(const Parts& step) const {
        if (!linked) {
            std::copy_n(step.read_content, read_size, step.next_reads);
            return;
        }
        for (int64_t head = 0; head < reads; head++) {
            const Number* share = step.told + mode + head * modes;
            Vec* weights = step.next_reads + head * blocks;
            for (int64_t block = 0; block < blocks; block++)
                weights[block] = share[writes] * step.read_content[head * blocks + block];
            each_way(step, head, [&](int64_t way, const Vec* found, int64_t) {
                for (int64_t block = 0; block < blocks; block++) weights[block] += share[way] * found[block];
            });
        }
    }

    // From the gradient of where was read to those of content (in room), of the modes, and of what following gave.
    void mix_backward(const Parts& step, const Vec* d_weights, Number* gradient, Room& room) const {
        if (!linked) {
            std::copy_n(d_weights, read_size, room.content.data());
            return;
        }
        for (int64_t head = 0; head < reads; head++) {
            const Number* share = step.told + mode + head * modes;
            Number* d_share = gradient + mode + head * modes;
            const Vec* own = d_weights + head * blocks;
            auto back = [&](int64_t way, const Vec* found, Vec* to) {
                Vec total{};
                for (int64_t block = 0; block < blocks; block++) {
                    total += own[block] * found[block];
                    to[block] = share[way] * own[block];
                }
                d_share[way] = sum<Number>(total);
            };
            back(writes, step.read_content + head * blocks, room.content.data() + head * blocks);
            each_way(step, head, [&](int64_t way, const Vec* found, int64_t place) {
                back(way, found, room.followed.data() + place); });
        }
        for (int64_t way = 0; sharp && way < 2 * reads * writes; way++)
            gradient[sharpness + way] = sharpen_backward(
                (way < reads * writes ? step.backward : step.forward - ways) + way * blocks, step.told[sharpness + way],
                (way < reads * writes ? step.sharp_backward : step.sharp_forward - ways) + way * blocks,
                room.followed.data() + way * blocks);
    }

    void move_backward(const At& at, Room& room, const Number* d_reads, Number* gradient, Vec* state) const {
        const Parts step = parts(at);
        const Number* told = step.told;
        Vec *d_memory = state, *d_read = state + reads_at, *d_write = state + writes_at, *d_usage = state + usage_at;
        Vec *sums = room.sums.data(), *content = room.content.data();
        each_block([&](auto together, int64_t block) {
            this->template read_backward<together>(reads, step.next_memory, step.next_reads, d_reads, block, d_read, d_memory);
        });
        mix_backward(step, d_read, gradient, room);
        std::fill_n(d_read, read_size, Vec{});
        this->find_backward(read_search(step), content, d_memory, gradient + read_key, gradient + read_mask,
                            gradient + read_strength, sums);
        if (linked) move_links_backward(step, room, state);
        Vec *d_erase = sums, *d_add = sums + writes * width, *d_retained = room.weights.data();
        std::fill_n(sums, 2 * writes * width, Vec{});
        std::fill_n(d_retained, blocks, Vec{});
        const typename Base::Written written{step.memory, step.next_writes, told + erase, told + add,
                                             deallocate ? step.retained : nullptr, d_memory, d_write, d_erase, d_add,
                                             d_retained, sums + 2 * writes * width};
        each_block([&](auto together, int64_t block) { this->template write_backward<together>(written, block); });
        for (int64_t place = 0; place < writes * width; place++) {
            gradient[erase + place] = sum<Number>(d_erase[place]);
            gradient[add + place] = sum<Number>(d_add[place]);
        }
        cut(writes, d_write);
        for (int64_t head = 0; head < writes; head++) {
            const Number by_allocation = told[allocation_gate + head], gate = told[write_gate + head];
            Vec d_gate{}, d_by{};
            for (int64_t place = head * blocks; place < (head + 1) * blocks; place++) {
                const Vec found = step.write_content[place], more = step.allocation[place] - found;
                d_gate += d_write[place] * (found + by_allocation * more);
                d_by += d_write[place] * gate * more;
                content[place] = d_write[place] * gate * (1 - by_allocation);
                d_write[place] *= gate * by_allocation;
            }
            gradient[write_gate + head] = sum<Number>(d_gate);
            gradient[allocation_gate + head] = sum<Number>(d_by);
        }
        this->find_backward(write_search(step), content, d_memory, gradient + write_key, gradient + write_mask,
                            gradient + write_strength, sums);
        allocate_backward(step, d_write, d_usage, gradient, room.used.data());
        usage_backward(step, d_retained, gradient, d_read, d_write, d_usage);
        squash_backward(at, room, gradient);
    }

    void move_links_backward(const Parts& step, Room& room, Vec* state) const {
        Vec *lines = room.lines.data(), *d_read = state + reads_at, *d_backward = room.followed.data();
        const Vec* d_forward = d_backward + ways;
        for (int64_t head = 0; head < writes; head++) {
            const Vec *weights = step.next_writes + head * blocks, *precedence = step.precedence + head * blocks;
            Vec *d_weights = state + writes_at + head * blocks, *d_precedence = state + precedence_at + head * blocks;
            const int64_t own = head * blocks;
            follow(step.next_links + head * links_size, d_backward + own, d_forward + own, writes * blocks, d_read, d_read,
                   blocks, lines);
            Vec whole{}, along{};
            for (int64_t block = 0; block < blocks; block++) {
                whole += weights[block];
                along += d_precedence[block] * precedence[block];
            }
            const Number stays = 1 - sum<Number>(whole), less = sum<Number>(along);
            for (int64_t block = 0; block < blocks; block++) {
                d_weights[block] += d_precedence[block] - less;
                d_precedence[block] *= stays;
            }
            link_backward(step.links + head * links_size, weights, precedence, step.read_weights, d_forward + own,
                          d_backward + own, state + links_at + head * links_size, d_weights, d_precedence, lines);
        }
    }

    // From the gradients of usage and of how much is retained to those of the step before, and of the free gates.
    // Gradients of write weights are put, those of read weights added.
    void usage_backward(const Parts& step, const Vec* d_retained, Number* gradient, Vec* d_read, Vec* d_write,
                        Vec* d_usage) const {
        for (int64_t head = 0; head < reads; head++) gradient[free + head] = 0;
        for (int64_t block = 0; block < blocks; block++) {
            const Vec* used = step.used + block;
            const Vec d_kept = d_retained[block] + d_usage[block] * used[(writes - 1) * blocks];
            Vec rest = d_usage[block] * step.retained[block];
            for (int64_t head = writes - 1; head >= 0; head--) {
                const Vec earlier = head ? used[(head - 1) * blocks] : step.usage[block];
                d_write[head * blocks + block] = P::usage_gradient ? rest * (1 - earlier) : Vec{};
                rest *= 1 - step.write_weights[head * blocks + block];
            }
            d_usage[block] = rest;
            for (int64_t head = 0; head < reads; head++) {
                Vec others = d_kept;
                for (int64_t other = 0; other < reads; other++)
                    if (other != head) others *= 1 - step.told[free + other] * step.read_weights[other * blocks + block];
                gradient[free + head] -= sum<Number>(others * step.read_weights[head * blocks + block]);
                d_read[head * blocks + block] -= others * step.told[free + head];
            }
        }
        cut(reads, d_read);
    }

public:
    explicit DNC(const DNCProblem<Number>& problem) : Base(problem) {}
};

}  // namespace

MEMNET_OPERATOR(DNC, DNCProblem)
