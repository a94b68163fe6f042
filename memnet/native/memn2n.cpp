// A MemN2N's answers to questions about stories, forward and backward: bags of words, hops of attention, logits.
//
// The definition is MemN2N in memn2n.py, with Sentences and noisy_ages in encoding.py and attention_weights in
// addressing.py. The numbers of all tables for a word, or a sentence, lie side by side, those of one table after those
// of the other, in whole vectors of the processor; a query lies in whole vectors with zeros after the end, so that what
// follows a table's numbers counts for nothing.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "numbers.h"

namespace {

// Sizes and tensors, laid out as memn2n.py fills it in. A word's id is that of a row of tables, whose first is of id 1.
template <class Number> struct Problem {
    int64_t copies, batch;                         // of weights, and stories that each reads
    int64_t sentences, columns, asked, slots;      // of a story, words of a sentence and of a question, sentences read
    int64_t vocabulary, words, width, hops, tables, scored;  // ids of words, and those of ages behind them
    int64_t kinds, asked_kinds;                    // of weights: one for every length of a sentence, or one for all
    int64_t memory;                                // slots that have a share, with a sentence or without
    int64_t adjacent, linear, relu;                // tying; no softmax; a rectifier after every hop
    int64_t shared;                                // whether all copies read the same stories
    const int64_t *story, *question, *lengths;     // (row, sentence, column), (row, asked), (row)
    const int64_t* times;                          // (row, slot), or null for the ages as they are
    const Number *weights, *asked_weights;         // (kind, column + 1, width), (kind, asked, width)
    const Number* const* embeddings;               // tables (copy, words - 1, width)
    const Number *asking, *answers;                // (copy, its words - 1, width), or null for the first and the last
    const Number* update;                          // (copy, width, width), or null
    Number *logits, *queries, *attention;          // by copy and row: (scored), (hop + 1, width), (hop, slot)
    const Number *d_logits, *d_queries, *d_attention;  // gradients from here on; null for none
    Number* const* d_embeddings;
    Number *d_asking, *d_answers, *d_update;
};

template <class Number> class Sequence : Problem<Number> {
    typedef Lanes<Number> Vec;
    typedef Problem<Number> P;
    using P::batch, P::sentences, P::columns, P::asked, P::slots, P::vocabulary, P::words, P::width, P::hops, P::tables;
    using P::scored, P::linear, P::relu;
    static constexpr int L = lanes<Number>;

    const int64_t vectors = (width + L - 1) / L;            // of one table's numbers
    const int64_t across = (tables * width + L - 1) / L;    // of all tables' numbers

    // A word that counts: its row in a table, and where its weights begin.
    struct Word { int64_t row, weights; };
    // Rows of a table: the first, and the numbers from one to the next. Whole vectors of the last may be read and written.
    struct Table { Number* first; int64_t step; };

    // Rows of `width` numbers to a table, and back.
    void put(int64_t count, const Number* from, Table to) const { copy(count, from, width, to.first, to.step); }
    void take(int64_t count, Table from, Number* to) const { copy(count, from.first, from.step, to, width); }
    void copy(int64_t count, const Number* from, int64_t step, Number* to, int64_t to_step) const {
        for (int64_t row = 0; row < count; row++, from += step, to += to_step)
            in_vectors<Number>(width, [&](int64_t at, int64_t left) { store(to + at, load(from + at, left), left); });
    }
    // Rows of vectors as a table; those of all tables, from the numbers of one of them on.
    Table alone(std::vector<Vec>& of) const { return {(Number*)of.data(), vectors * L}; }
    Table beside(std::vector<Vec>& of, int64_t table) const { return {(Number*)of.data() + table * width, across * L}; }

    // The weights of one copy, or their gradients; a vector more than they fill, see Table.
    struct Weights {
        std::vector<Vec> embeddings, asking, answers, update;
        Weights(const Sequence& of, bool there)
            : embeddings(there ? (of.words - 1) * of.across + of.vectors : 0),
              asking(there && of.P::asking ? (of.vocabulary - 1) * of.vectors : 0),
              answers(there && of.P::answers ? (of.scored - 1) * of.vectors : 0),
              update(there && of.P::update ? of.width * of.vectors : 0) {}
        void clear() {
            for (std::vector<Vec>* one : {&embeddings, &asking, &answers, &update}) std::fill(one->begin(), one->end(), Vec{});
        }
    };
    Table asking_of(Weights& of) const { return of.asking.empty() ? beside(of.embeddings, 0) : alone(of.asking); }
    Table answers_of(Weights& of) const {
        return of.answers.empty() ? beside(of.embeddings, tables - 1) : alone(of.answers);
    }

    struct Work {
        Weights own, gradient;
        std::vector<Vec> factors, asked_factors;    // the weights of words, for all tables and for one
        std::vector<Word> words, question;          // of the row that is read, and room for more
        std::vector<int64_t> ends;                  // of every sentence of it, among its words
        int64_t asked = 0;                          // words of its question
        std::vector<Vec> story;                     // (slot, table), every sentence's vectors, and room for another
        std::vector<Vec> queries, after, d_query, next;  // (hop + 1), (hop) gradients of what comes out, one, one
        std::vector<Number> shares, d_scores;       // (slot), (hop, slot)
        Work(const Sequence& of, bool backward)
            : own(of, true), gradient(of, backward), factors(of.P::kinds * (of.columns + 1) * of.across),
              asked_factors(of.P::asked_kinds * of.asked * of.vectors), words(of.slots * (of.columns + 1) + 1),
              question(of.asked + 1), ends(of.slots), story(of.slots * of.across + of.vectors),
              queries((of.hops + 1) * of.vectors), after(backward ? of.hops * of.vectors : 0), d_query(of.vectors),
              next(of.vectors), shares(of.slots), d_scores(backward ? of.hops * of.slots : 0) {
            for (int64_t table = 0; table < of.tables; table++)
                of.put(of.P::kinds * (of.columns + 1), of.P::weights, of.beside(factors, table));
            of.put(of.P::asked_kinds * of.asked, of.P::asked_weights, of.alone(asked_factors));
        }
    };

    void read_weights(int64_t copy, Work& work) const {
        for (int64_t table = 0; table < tables; table++)
            put(words - 1, P::embeddings[table] + copy * (words - 1) * width, beside(work.own.embeddings, table));
        const auto apart = [&](int64_t rows, const Number* from, std::vector<Vec>& to) {
            if (from) put(rows, from + copy * rows * width, alone(to));
        };
        apart(vocabulary - 1, P::asking, work.own.asking);
        apart(scored - 1, P::answers, work.own.answers);
        apart(width, P::update, work.own.update);
    }

    void give_gradients(int64_t copy, Work& work) const {
        for (int64_t table = 0; table < tables; table++)
            if (P::d_embeddings[table])
                take(words - 1, beside(work.gradient.embeddings, table), P::d_embeddings[table] + copy * (words - 1) * width);
        const auto apart = [&](int64_t rows, std::vector<Vec>& from, Number* to) {
            if (to) take(rows, alone(from), to + copy * rows * width);
        };
        apart(vocabulary - 1, work.gradient.asking, P::d_asking);
        apart(scored - 1, work.gradient.answers, P::d_answers);
        apart(width, work.gradient.update, P::d_update);
    }

    // ------------------------------------------------------------------------------------------ words

    // The words of one sentence that count, and one more with the last weights if there is one. Gives the place after them.
    // columns: that there are weights for. step: from those of one to those of the next.
    Word* read_sentence(const int64_t* ids, int64_t count, int64_t more, int64_t kinds, int64_t columns, int64_t step,
                        Word* to) const {
        Word* word = to;
        int64_t last = 0, highest = 0, lowest = 0;
        for (int64_t place = 0; place < count; place++) {
            const int64_t id = ids[place];
            *word = {id - 1, place * step};
            word += id != 0;
            last = id ? place : last;
            highest = std::max(highest, id);
            lowest = std::min(lowest, id);
        }
        if (lowest < 0 || highest >= vocabulary) throw std::out_of_range("id");
        if (more) *word++ = {more - 1, count * step};
        if (kinds > 1)
            for (Word* one = to; one < word; one++) one->weights += last * columns * step;
        return word;
    }

    // The story and the question of a row: how many sentences are read.
    int64_t read_row(int64_t row, Work& work) const {
        if (P::lengths[row] < 0 || P::lengths[row] > sentences) throw std::out_of_range("length");
        const int64_t kept = std::min(P::lengths[row], slots), first = P::lengths[row] - kept;
        Word *const begin = work.words.data(), *const question = work.question.data(), *word = begin;
        for (int64_t slot = 0; slot < kept; slot++) {
            const int64_t age = P::times ? P::times[row * slots + slot] : kept - slot;
            if (age < 0 || vocabulary + age > words) throw std::out_of_range("age");
            word = read_sentence(P::story + (row * sentences + first + slot) * columns, columns,
                                 age ? vocabulary - 1 + age : 0, P::kinds, columns + 1, across, word);
            work.ends[slot] = word - begin;
        }
        work.asked = read_sentence(P::question + row * asked, asked, 0, P::asked_kinds, asked, vectors, question) - question;
        return kept;
    }

    // Sentences: their words one after another, and where those of each end.
    struct Sentences { int64_t count; const Word* words; const int64_t* ends; const Vec* factors; };

    // Calls function(vectors at once, the first, sentence, its words) for all vectors that the sentences have.
    template <class Function> void in_parts(const Sentences& of, int64_t vectors, Function function) const {
        in_tiles<5>(vectors, [&](auto together, int64_t first) {
            int64_t begin = 0;
            for (int64_t one = 0; one < of.count; begin = of.ends[one++])
                function(together, first, one, of.words + begin, of.words + of.ends[one]);
        });
    }

    // The vectors of sentences, so many each.
    void add_up(const Sentences& of, int64_t vectors, Table from, Vec* to) const {
        in_parts(of, vectors, [&](auto together, int64_t first, int64_t one, const Word* word, const Word* end) {
            Vec total[together] = {};
            for (; word < end; word++) {
                const Number* row = from.first + word->row * from.step + first * L;
                const Vec* factor = of.factors + word->weights + first;
                for (int j = 0; j < together; j++) total[j] += factor[j] * load(row + j * L);
            }
            std::copy_n(total, int(together), to + one * vectors + first);
        });
    }

    // The way back: from the gradients of those vectors to the gradients of words.
    void spread(const Sentences& of, int64_t vectors, const Vec* from, Table to) const {
        in_parts(of, vectors, [&](auto together, int64_t first, int64_t one, const Word* word, const Word* end) {
            Vec gradient[together];
            std::copy_n(from + one * vectors + first, int(together), gradient);
            for (; word < end; word++) {
                Number* row = to.first + word->row * to.step + first * L;
                const Vec* factor = of.factors + word->weights + first;
                for (int j = 0; j < together; j++) store(row + j * L, load(row + j * L) + factor[j] * gradient[j]);
            }
        });
    }

    Sentences story_of(int64_t kept, const Work& work) const {
        return {kept, work.words.data(), work.ends.data(), work.factors.data()};
    }
    Sentences question_of(const Work& work) const {
        return {1, work.question.data(), &work.asked, work.asked_factors.data()};
    }

    // ------------------------------------------------------------------------------------------ vectors

    // The dot products of rows with a vector.
    void dots(int64_t count, Table rows, const Vec* with, Number* to) const {
        for (int64_t at = 0; at < count; at += L) {
            Vec parts[L] = {};
            for (int64_t row = at; row < std::min(count, at + L); row++)
                for (int64_t j = 0; j < vectors; j++)
                    parts[row - at] += load(rows.first + row * rows.step + j * L) * with[j];
            store(to + at, sums<Number>(parts), count - at);
        }
    }

    // Adds so much of every row.
    void blend(int64_t count, const Number* shares, Table rows, Vec* to) const {
        in_tiles<2>(vectors, [&](auto parts, int64_t part) {
            Vec total[4][parts] = {};
            in_tiles<4>(count, [&](auto together, int64_t first) {
                for (int one = 0; one < together; one++)
                    for (int j = 0; j < parts; j++)
                        total[one][j] += shares[first + one] * load(rows.first + (first + one) * rows.step + (part + j) * L);
            });
            for (int j = 0; j < parts; j++) to[part + j] += total[0][j] + total[1][j] + (total[2][j] + total[3][j]);
        });
        std::fill((Number*)to + width, (Number*)(to + vectors), Number(0));
    }

    // The way back of `dots`: adds so much of a vector to every row.
    void grow(int64_t count, const Number* shares, const Vec* by, Table rows) const {
        for (int64_t row = 0; row < count; row++)
            for (int64_t j = 0; j < vectors; j++) {
                Number* to = rows.first + row * rows.step + j * L;
                store(to, load(to) + shares[row] * by[j]);
            }
    }

    // Scores to shares, beside `empty` slots that score zero.
    void softmax(int64_t count, Number empty, Number* shares) const {
        Vec bound = all(empty > 0 ? Number(0) : -std::numeric_limits<Number>::infinity()), total{};
        const int64_t whole_vectors = count / L * L;
        for (int64_t slot = 0; slot < whole_vectors; slot += L) {
            const Vec part = load(shares + slot);
            bound = part > bound ? part : bound;
        }
        Number most = largest<Number>(bound);
        for (int64_t slot = whole_vectors; slot < count; slot++) most = std::max(most, shares[slot]);
        for (int64_t slot = 0; slot < count; slot += L) {
            Vec part = exponential(load(shares + slot, count - slot) - most);
            store(shares + slot, part, count - slot);
            total += load(shares + slot, count - slot);
        }
        const Number whole = sum<Number>(total) + (empty > 0 ? empty * std::exp(-most) : 0);
        for (int64_t slot = 0; slot < count; slot++) shares[slot] /= whole;
    }

    // ------------------------------------------------------------------------------------------ a story

    int64_t keys_of(int64_t hop) const { return P::adjacent ? hop : 0; }
    int64_t values_of(int64_t hop) const { return P::adjacent ? hop + 1 : 1; }
    Table slots_of(Work& work, int64_t table) const { return beside(work.story, table); }

    int64_t encode(int64_t row, Work& work) const {
        const int64_t kept = read_row(row, work);
        add_up(story_of(kept, work), across, beside(work.own.embeddings, 0), work.story.data());
        return kept;
    }

    // row: of what is read. place: of what comes out.
    void forward_story(int64_t row, int64_t place, Work& work) const {
        const int64_t kept = encode(row, work);
        add_up(question_of(work), vectors, asking_of(work.own), work.queries.data());
        for (int64_t hop = 0; hop < hops; hop++) {
            Vec *query = &work.queries[hop * vectors], *next = query + vectors;
            Number* shares = P::attention + (place * hops + hop) * slots;
            dots(kept, slots_of(work, keys_of(hop)), query, shares);
            std::fill(shares + kept, shares + slots, Number(0));
            if (!linear) softmax(kept, Number(std::max<int64_t>(P::memory - kept, 0)), shares);
            if (P::update) dots(width, alone(work.own.update), query, (Number*)next);
            else std::copy_n(query, vectors, next);
            blend(kept, shares, slots_of(work, values_of(hop)), next);
            for (int64_t j = 0; relu && j < vectors; j++) next[j] = next[j] < 0 ? Vec{} : next[j];
        }
        take(hops + 1, alone(work.queries), P::queries + place * (hops + 1) * width);
        Number* logits = P::logits + place * scored;
        logits[0] = 0;
        dots(scored - 1, answers_of(work.own), &work.queries[hops * vectors], logits + 1);
    }

    // One hop of backward_story: work.d_query holds the gradient of what follows it, and then of what goes into it.
    void backward_hop(int64_t kept, int64_t place, int64_t hop, Work& work) const {
        const Vec *query = &work.queries[hop * vectors], *next = query + vectors;
        Vec* d_query = work.d_query.data();
        for (int64_t j = 0; relu && j < vectors; j++) d_query[j] = next[j] <= 0 ? Vec{} : d_query[j];
        std::copy_n(d_query, vectors, &work.after[hop * vectors]);
        const Number* shares = P::attention + (place * hops + hop) * slots;
        Number *d_shares = work.shares.data(), *d_scores = &work.d_scores[hop * slots];
        dots(kept, slots_of(work, values_of(hop)), d_query, d_shares);
        const Number* d_attention = P::d_attention + (place * hops + hop) * slots;
        for (int64_t slot = 0; P::d_attention && slot < kept; slot++) d_shares[slot] += d_attention[slot];
        Vec total{};
        in_vectors<Number>(kept, [&](int64_t slot, int64_t left) {
            total += load(shares + slot, left) * load(d_shares + slot, left);
        });
        const Number mean = linear ? 0 : sum<Number>(total);
        for (int64_t slot = 0; slot < kept; slot++)
            d_scores[slot] = (linear ? 1 : shares[slot]) * (d_shares[slot] - mean);
        if (P::update) {
            std::fill(work.next.begin(), work.next.end(), Vec{});
            blend(width, (const Number*)d_query, alone(work.own.update), work.next.data());
            grow(width, (const Number*)d_query, query, alone(work.gradient.update));
            work.d_query.swap(work.next);
        }
        blend(kept, d_scores, slots_of(work, keys_of(hop)), work.d_query.data());
    }

    void backward_story(int64_t row, int64_t place, Work& work) const {
        const int64_t kept = encode(row, work);
        put(hops + 1, P::queries + place * (hops + 1) * width, alone(work.queries));
        std::fill(work.d_query.begin(), work.d_query.end(), Vec{});
        if (P::d_logits) {
            const Number* d_logits = P::d_logits + place * scored + 1;
            blend(scored - 1, d_logits, answers_of(work.own), work.d_query.data());
            grow(scored - 1, d_logits, &work.queries[hops * vectors], answers_of(work.gradient));
        }
        for (int64_t hop = hops; hop >= 0; hop--) {
            const Number* d_queries = P::d_queries + (place * (hops + 1) + hop) * width;
            for (int64_t j = 0; P::d_queries && j < width; j++) ((Number*)work.d_query.data())[j] += d_queries[j];
            if (hop) backward_hop(kept, place, hop - 1, work);
        }
        spread(question_of(work), vectors, work.d_query.data(), asking_of(work.gradient));
        backward_slots(kept, place, work);
        spread(story_of(kept, work), across, work.story.data(), beside(work.gradient.embeddings, 0));
    }

    // Puts the gradients of the sentences' vectors where those were.
    void backward_slots(int64_t kept, int64_t place, Work& work) const {
        for (int64_t table = 0; table < tables; table++) {
            // So much of a vector for every slot: of queries where the table has keys, of gradients where it has values.
            std::vector<std::pair<const Number*, const Vec*>> terms;
            for (int64_t hop = 0; hop < hops; hop++) {
                if (keys_of(hop) == table) terms.push_back({&work.d_scores[hop * slots], &work.queries[hop * vectors]});
                if (values_of(hop) == table)
                    terms.push_back({P::attention + (place * hops + hop) * slots, &work.after[hop * vectors]});
            }
            const Table to = slots_of(work, table);
            in_tiles<2>(terms.size(), [&](auto together, int64_t first) {
                for (int64_t j = 0; j < vectors; j++)
                    for (int64_t slot = 0; slot < kept; slot++) {
                        Number* own = to.first + slot * to.step + j * L;
                        Vec total = first ? load(own) : Vec{};
                        for (int one = 0; one < together; one++)
                            total += terms[first + one].first[slot] * terms[first + one].second[j];
                        store(own, total, width - j * L);
                    }
            });
        }
    }

public:
    Sequence(const Problem<Number>& problem) : Problem<Number>(problem) {}

    void run(bool backward) const {
        Work work(*this, backward);
        for (int64_t copy = 0; copy < P::copies; copy++) {
            read_weights(copy, work);
            // What follows a row's last sentence counts times zero: no number of another copy may be left there.
            std::fill(work.story.begin(), work.story.end(), Vec{});
            for (int64_t one = 0; one < batch; one++) {
                const int64_t place = copy * batch + one, row = P::shared ? one : place;
                if (backward) backward_story(row, place, work);
                else forward_story(row, place, work);
            }
            if (!backward) continue;
            give_gradients(copy, work);
            work.gradient.clear();
        }
    }
};

// Sentences of stories, and ages with gaps at random, laid out as memn2n.py fills it in.
template <class Number> struct Ages {
    int64_t rows, sentences, words, slots, columns, oldest;
    double noise;
    const int64_t* story;            // (row, sentence, word), whose sentences are counted; or null
    int64_t* lengths;                // (row)
    const Number *blanks, *draws;    // (row), (row, column), or null for no ages
    int64_t* times;                  // (row, slot)
};

template <class Number> class Drawn : Ages<Number> {
    typedef Ages<Number> P;
    using P::slots, P::columns;

    int64_t count(const int64_t* story) const {
        for (int64_t left = P::sentences * P::words; left > 0; left--)
            if (story[left - 1]) return (left + P::words - 1) / P::words;
        return 0;
    }

    void draw(int64_t row, std::vector<Number>& sorted) const {
        const Number* draws = P::draws + row * columns;
        int64_t* times = P::times + row * slots;
        const double most = std::ceil(P::noise * double(P::lengths[row]));
        const int64_t blanks = int64_t(std::floor(double(P::blanks[row]) * (most + 1)));
        const int64_t kept = P::lengths[row], ages = kept + blanks;
        if (kept < 0 || kept > slots || ages > columns) throw std::out_of_range("length");
        std::fill(times, times + slots, 0);
        if (!kept) return;
        sorted.assign(draws, draws + ages);
        std::nth_element(sorted.begin(), sorted.begin() + (kept - 1), sorted.end());
        const Number limit = sorted[kept - 1];
        // Of ages that drew alike the youngest are taken.
        int64_t alike = kept - std::count_if(draws, draws + ages, [&](Number one) { return one < limit; });
        int64_t place = kept;
        for (int64_t age = 0; age < ages; age++)
            if (draws[age] < limit || (draws[age] == limit && alike-- > 0))
                times[--place] = std::min(age + 1, P::oldest);
    }

public:
    Drawn(const Ages<Number>& problem) : Ages<Number>(problem) {}

    void run(bool) const {
        std::vector<Number> sorted;
        for (int64_t row = 0; row < P::rows; row++) {
            if (P::story) P::lengths[row] = count(P::story + row * P::sentences * P::words);
            if (P::draws) draw(row, sorted);
        }
    }
};

}  // namespace

// For one kind of number, NUMBER. Each gives what `run` does.
extern "C" {
int forward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, false); }
int backward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, true); }
int ages(const Ages<NUMBER>* problem) { return run<Drawn<NUMBER>>(*problem, false); }
int size_of_a_number() { return sizeof(NUMBER); }
}
