// Hops of attention over the sentences of stories, forward and backward, a story at a time.
//
// The definition is eq. 1, 2 and 4 in memn2n.py with attention_weights in addressing.py. A sentence's vector, as every
// vector of `width` numbers, lies in whole vectors of the processor with zeros after the end.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "numbers.h"

namespace {

// Sizes and tensors, laid out as hops.py fills it in.
template <class Number> struct Problem {
    int64_t batch, slots, width, hops, tables;
    int64_t linear, relu;            // no softmax; a rectifier after every hop
    const int64_t* hop_tables;       // (hop, 2): which table holds its keys and which its values
    const int64_t *lengths, *empty;  // (batch): sentences, and further slots that score zero
    const Number* query;             // (batch, width)
    const Number* update;            // (width, width), or null
    const Number* const* sentences;  // tables (batch, slot, width)
    Number *queries, *attention;     // (batch, hop, width) after every hop, (batch, hop, slot)
    const Number *d_queries, *d_attention;  // gradients from here on; null for none
    Number *d_query, *d_update;
    Number* const* d_sentences;
};

template <class Number> class Sequence : Problem<Number> {
    typedef Lanes<Number> Vec;
    typedef Problem<Number> P;
    using P::batch, P::slots, P::width, P::hops, P::tables, P::linear, P::relu, P::lengths;
    static constexpr int L = lanes<Number>;

    const int64_t vectors = (width + L - 1) / L;  // of one sentence

    void put(int64_t count, const Number* from, Vec* to) const {
        for (int64_t row = 0; row < count; row++) std::copy_n(from + row * width, width, (Number*)(to + row * vectors));
    }
    void take(int64_t count, const Vec* from, Number* to) const {
        for (int64_t row = 0; row < count; row++) std::copy_n((const Number*)(from + row * vectors), width, to + row * width);
    }

    struct Work {
        std::vector<Vec> sentences, d_sentences;  // (table, slot) of one story
        std::vector<Vec> update, d_update, query, next, d_query, d_next;
        std::vector<Number> shares;
        Work(const Sequence& of, bool backward)
            : sentences(of.tables * of.slots * of.vectors), d_sentences(backward ? sentences.size() : 0),
              update(of.P::update ? of.width * of.vectors : 0), d_update(backward ? update.size() : 0),
              query(of.vectors), next(of.vectors), d_query(of.vectors), d_next(of.vectors), shares(of.slots) {
            if (of.P::update) of.put(of.width, of.P::update, update.data());
        }
    };

    Number dot(const Vec* one, const Vec* other) const {
        Vec total = one[0] * other[0];
        for (int64_t j = 1; j < vectors; j++) total += one[j] * other[j];
        return sum<Number>(total);
    }
    void add(Vec* to, Number share, const Vec* from) const {
        for (int64_t j = 0; j < vectors; j++) to[j] += share * from[j];
    }

    Vec* table(std::vector<Vec>& of, int64_t hop, int part) const {
        return of.data() + P::hop_tables[2 * hop + part] * slots * vectors;
    }

    // Scores to shares, beside `empty` slots that score zero.
    void softmax(int64_t count, Number empty, Number* shares) const {
        Number most = empty > 0 ? 0 : -std::numeric_limits<Number>::infinity();
        for (int64_t slot = 0; slot < count; slot++) most = std::max(most, shares[slot]);
        for (int64_t slot = 0; slot < count; slot += L)
            store(shares + slot, exponential(load(shares + slot, count - slot) - most), count - slot);
        Number total = empty > 0 ? empty * std::exp(-most) : 0;
        for (int64_t slot = 0; slot < count; slot++) total += shares[slot];
        for (int64_t slot = 0; slot < count; slot++) shares[slot] /= total;
    }

    void read_story(int64_t row, Work& work) const {
        if (lengths[row] < 0 || lengths[row] > slots) throw std::out_of_range("length");
        for (int64_t one = 0; one < tables; one++)
            put(lengths[row], P::sentences[one] + row * slots * width, &work.sentences[one * slots * vectors]);
    }

    void forward_story(int64_t row, Work& work) const {
        put(1, P::query + row * width, work.query.data());
        for (int64_t hop = 0; hop < hops; hop++) {
            const Vec *keys = table(work.sentences, hop, 0), *values = table(work.sentences, hop, 1);
            Number* shares = P::attention + (row * hops + hop) * slots;
            for (int64_t slot = 0; slot < lengths[row]; slot++)
                shares[slot] = dot(keys + slot * vectors, work.query.data());
            std::fill(shares + lengths[row], shares + slots, Number(0));
            if (!linear) softmax(lengths[row], Number(P::empty[row]), shares);
            if (P::update)
                for (int64_t j = 0; j < width; j++)
                    ((Number*)work.next.data())[j] = dot(&work.update[j * vectors], work.query.data());
            else work.next = work.query;
            for (int64_t slot = 0; slot < lengths[row]; slot++)
                add(work.next.data(), shares[slot], values + slot * vectors);
            for (Vec& part : work.next)
                if (relu) part = part > 0 ? part : Vec{};
            work.query.swap(work.next);
            take(1, work.query.data(), P::queries + (row * hops + hop) * width);
        }
    }

    // One hop of backward_story: work.d_query holds the gradient of what follows it, and then of what goes into it.
    void backward_hop(int64_t row, int64_t hop, Work& work) const {
        const Vec *keys = table(work.sentences, hop, 0), *values = table(work.sentences, hop, 1);
        Vec *d_keys = table(work.d_sentences, hop, 0), *d_values = table(work.d_sentences, hop, 1);
        const int64_t place = row * hops + hop;
        const Number *shares = P::attention + place * slots, *after = P::queries + place * width;
        Number* d_after = (Number*)work.d_query.data();
        for (int64_t j = 0; j < width; j++) {
            if (P::d_queries) d_after[j] += P::d_queries[place * width + j];
            if (relu && !(after[j] > 0)) d_after[j] = 0;
        }
        put(1, hop ? after - width : P::query + row * width, work.query.data());
        Number mean = 0;
        for (int64_t slot = 0; slot < lengths[row]; slot++) {
            add(d_values + slot * vectors, shares[slot], work.d_query.data());
            work.shares[slot] = dot(values + slot * vectors, work.d_query.data());
            if (P::d_attention) work.shares[slot] += P::d_attention[place * slots + slot];
            mean += shares[slot] * work.shares[slot];
        }
        if (P::update) {
            std::fill(work.d_next.begin(), work.d_next.end(), Vec{});
            for (int64_t j = 0; j < width; j++) {
                add(work.d_next.data(), d_after[j], &work.update[j * vectors]);
                add(&work.d_update[j * vectors], d_after[j], work.query.data());
            }
            work.d_query.swap(work.d_next);
        }
        for (int64_t slot = 0; slot < lengths[row]; slot++) {
            const Number d_score = linear ? work.shares[slot] : shares[slot] * (work.shares[slot] - mean);
            add(work.d_query.data(), d_score, keys + slot * vectors);
            add(d_keys + slot * vectors, d_score, work.query.data());
        }
    }

    void backward_story(int64_t row, Work& work) const {
        std::fill(work.d_sentences.begin(), work.d_sentences.end(), Vec{});
        std::fill(work.d_query.begin(), work.d_query.end(), Vec{});
        for (int64_t hop = hops; hop-- > 0;) backward_hop(row, hop, work);
        take(1, work.d_query.data(), P::d_query + row * width);
        for (int64_t one = 0; one < tables; one++)
            take(slots, &work.d_sentences[one * slots * vectors], P::d_sentences[one] + row * slots * width);
    }

public:
    Sequence(const Problem<Number>& problem) : Problem<Number>(problem) {}

    void run(bool backward) const {
        Work work(*this, backward);
        for (int64_t row = 0; row < batch; row++) {
            read_story(row, work);
            if (backward) backward_story(row, work);
            else forward_story(row, work);
        }
        if (backward && P::update) take(width, work.d_update.data(), P::d_update);
    }
};

}  // namespace

// For one kind of number, NUMBER. Each gives what `run` does.
extern "C" {
int forward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, false); }
int backward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, true); }
int size_of_a_number() { return sizeof(NUMBER); }
}
