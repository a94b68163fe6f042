"""Answers to bAbI questions from the text alone, one solver a task: written apart from the generator, sharing nothing.

A solver sees the facts before a question as (line number, sentence) and the question. It returns the answer
and the lists of supporting line numbers that may stand behind it: one list, except in task 18, where two
sentences can lead to the same conclusion in several ways.
"""

import re
from functools import lru_cache

Facts = list[tuple[int, str]]
Solution = tuple[str, list[list[int]]]

SENTENCES = [
    ("go", r"(\w+) (?:went to|went back to|journeyed to|travelled to|moved to) the (\w+)"),
    ("get", r"(\w+) (?:got|took|grabbed|picked up) the (\w+)(?: there)?"),
    ("drop", r"(\w+) (?:dropped|discarded|put down|left) the (\w+)(?: there)?"),
    ("give", r"(\w+) (?:gave|handed|passed) the (\w+) to (\w+)"),
    ("both", r"(\w+) and (\w+) (?:went to|went back to|journeyed to|travelled to|moved to) the (\w+)"),
    (
        "then",
        r"(?:Then|After that|Following that|Afterwards) (he|she|they) "
        r"(?:went to|went back to|journeyed to|travelled to|moved to) the (\w+)",
    ),
    ("in", r"(\w+) is in the (\w+)"),
    ("out", r"(\w+) is (?:not|no longer) in the (\w+)"),
    ("either", r"(\w+) is either in the (\w+) or the (\w+)"),
    ("kind", r"(\w+) is a (\w+)"),
    ("fear", r"(\w+) are afraid of (\w+)"),
    ("compass", r"The (\w+) is (north|south|east|west) of the (\w+)"),
    ("side", r"The ([a-z ]+) is (above|below|to the left of|to the right of) the ([a-z ]+)"),
    ("fits", r"The ([a-z ]+) fits inside the ([a-z ]+)"),
    ("bigger", r"The ([a-z ]+) is bigger than the ([a-z ]+)"),
    ("is", r"(\w+) is (\w+)"),
]
PATTERNS = [(kind, re.compile(pattern + r"\.")) for kind, pattern in SENTENCES]
WHEN = {"yesterday": 0, "this morning": 1, "this afternoon": 2, "this evening": 3}
COUNTS = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PRONOUNS = {"John": "he", "Daniel": "he", "Mary": "she", "Sandra": "she"}
BACK = {"north": "south", "south": "north", "east": "west", "west": "east"}
STEP = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0)}
BESIDE = {"above": (0, 1), "below": (0, -1), "to the right of": (1, 0), "to the left of": (-1, 0)}
SINGULAR = {"mice": "mouse", "sheep": "sheep", "wolves": "wolf", "cats": "cat"}
GOAL = {"hungry": "kitchen", "thirsty": "kitchen", "bored": "garden", "tired": "bedroom"}


@lru_cache(None)
def read(sentence: str) -> tuple[str, ...]:
    """The kind of a sentence and its words that matter."""
    for kind, pattern in PATTERNS:
        if match := pattern.fullmatch(sentence):
            return (kind, *match.groups())
    raise AssertionError(sentence)


@lru_cache(None)
def ask(pattern: str, question: str) -> tuple[str, ...]:
    match = re.fullmatch(pattern + r"\?", question)
    assert match, question
    return match.groups()


def events(facts: Facts) -> list[tuple[int, tuple[str, ...]]]:
    return [(number, read(sentence)) for number, sentence in facts]


def where_is_a_person(facts: Facts, question: str) -> Solution:
    """Tasks 1 and 12: the last sentence that names the person."""
    (person,) = ask(r"Where is (\w+)", question)
    number, told = next((n, told) for n, told in reversed(events(facts)) if person in told[1:-1])
    return told[-1], [[number]]


def where_is_a_thing(facts: Facts, question: str) -> Solution:
    (thing,) = ask(r"Where is the (\w+)", question)
    place, holder, touched, answer = {}, None, 0, None
    for number, (kind, person, what) in events(facts):
        if kind == "go":
            place[person] = (what, number)
            if person == holder:
                answer = what, [[touched, number]]
        elif what == thing:
            holder, touched = (person if kind == "get" else None), number
            answer = None
            if kind == "drop" and person in place:
                answer = place[person][0], [[number, place[person][1]]]
    return answer


def where_was_a_thing(facts: Facts, question: str) -> Solution:
    thing, place = ask(r"Where was the (\w+) before the (\w+)", question)
    holder, carry = None, []
    for number, (kind, person, what) in events(facts):
        if kind == "go" and person == holder:
            carry.append((number, what))
        elif what == thing:
            holder, touched = (person if kind == "get" else None), number
            carry = [] if kind == "get" else carry
    after = max(k for k, (_, visited) in enumerate(carry) if visited == place)
    return carry[after - 1][1], [[touched, carry[after][0], carry[after - 1][0]]]


def what_lies_there(facts: Facts, question: str) -> Solution:
    if question.endswith(" of?"):
        place, direction = ask(r"What is the (\w+) (\w+) of", question)
        direction = BACK[direction]
    else:
        direction, place = ask(r"What is (\w+) of the (\w+)", question)
    for number, (_, subject, told, other) in events(facts):
        if (told, other) == (direction, place):
            return subject, [[number]]
        if (BACK[told], subject) == (direction, place):
            return other, [[number]]
    raise AssertionError(question)


def who_gave(facts: Facts, question: str) -> Solution:
    """Task 5: the last gift that fits the words of the question."""
    giver = thing = receiver = None
    if question.startswith("What"):
        giver, receiver = ask(r"What did (\w+) give to (\w+)", question)
        wanted = 1
    elif question.startswith("Who gave"):
        thing, receiver = ask(r"Who gave the (\w+)(?: to (\w+))?", question)
        wanted = 0
    elif question.startswith("Who received"):
        (thing,) = ask(r"Who received the (\w+)", question)
        wanted = 2
    else:
        giver, thing = ask(r"Who did (\w+) give the (\w+) to", question)
        wanted = 2
    for number, (kind, *gift) in reversed(events(facts)):
        if kind == "give" and all(a in (None, b) for a, b in zip((giver, thing, receiver), gift, strict=True)):
            return gift[wanted], [[number]]
    raise AssertionError(question)


def is_somebody_there(facts: Facts, question: str) -> Solution:
    """Tasks 6, 9 and 10."""
    person, place = ask(r"Is (\w+) in the (\w+)", question)
    for number, (kind, who, *places) in reversed(events(facts)):
        if who == person and kind in ("go", "in", "out", "either"):
            named = place in places
            answer = {"out": "no", "either": "maybe"}.get(kind, "yes") if named else "no"
            assert named or kind != "out", "after a negation only the denied place is asked"
            return answer, [[number]]
    raise AssertionError(question)


def how_many(facts: Facts, question: str) -> Solution:
    (person,) = ask(r"How many objects is (\w+) carrying", question)
    count, involved = 0, []
    for number, (kind, who, _, *receiver) in events(facts):
        if kind == "go" or person not in (who, *receiver):
            continue
        involved.append(number)
        count += 1 if kind == "get" or receiver == [person] else -1
    return COUNTS[count], [involved]


def what_is_carried(facts: Facts, question: str) -> Solution:
    (person,) = ask(r"What is (\w+) carrying", question)
    ever: dict[str, list[int]] = {}
    for number, (kind, who, thing) in events(facts):
        if who == person and kind != "go":
            ever.setdefault(thing, []).append(number)
    held = [thing for thing, numbers in ever.items() if len(numbers) % 2]
    return ",".join(held) or "nothing", [[number for numbers in ever.values() for number in numbers]]


def where_after_pronouns(facts: Facts, question: str) -> Solution:
    """Tasks 11 and 13: sentences come in pairs, the second about the people of the first."""
    (person,) = ask(r"Where is (\w+)", question)
    told = events(facts)
    for (first, named), (second, then) in reversed(list(zip(told[::2], told[1::2], strict=True))):
        assert then[0] == "then"
        people = named[1:-1]
        assert then[1] == ("they" if len(people) == 2 else PRONOUNS.get(people[0], then[1]))
        if person in people:
            return then[2], [[first, second]]
    raise AssertionError(question)


def where_before(facts: Facts, question: str) -> Solution:
    person, place = ask(r"Where was (\w+) before the (\w+)", question)
    visits = {}
    for number, sentence in facts:
        match = re.fullmatch(r"(?:(Yesterday|This \w+) )?((\w+) .*?)(?: (yesterday|this \w+))?\.", sentence)
        _, who, where = read(match[2] + ".")
        if who == person:
            visits[WHEN[(match[1] or match[4]).lower()]] = (where, number)
    last = max(time for time, (where, _) in visits.items() if where == place)
    return visits[last - 1][0], [[visits[last][1], visits[last - 1][1]]]


def what_is_feared(facts: Facts, question: str) -> Solution:
    (name,) = ask(r"What is (\w+) afraid of", question)
    fears, kinds = {}, {}
    for number, (kind, subject, what) in events(facts):
        if kind == "fear":
            fears[SINGULAR[subject.lower()]] = (SINGULAR[what], number)
        else:
            assert what in fears, "a person's species comes after its fear"
            kinds[subject.lower()] = (what, number)
    species, number = kinds[name]
    return fears[species][0], [[number, fears[species][1]]]


def what_color(facts: Facts, question: str) -> Solution:
    (person,) = ask(r"What color is (\w+)", question)
    kinds, colors = {}, {}
    for number, (kind, who, what) in events(facts):
        (kinds if kind == "kind" else colors)[who] = (what, number)
    species, own = kinds.pop(person)
    alike = {who: number for who, (other, number) in kinds.items() if other == species}
    assert len(alike) in (1, 3, 4)
    latest = max(alike, key=alike.get)
    return colors[latest][0], [[own, alike[latest], colors[latest][1]]]


def how_they_lie(facts: Facts, question: str) -> Solution:
    side = r"(above|below|to the left of|to the right of)"
    first, asked, second = ask(rf"Is the ([a-z ]+) {side} the ([a-z ]+)", question)
    told = [(number, *words[1:]) for number, words in events(facts)]
    (hub,) = {told[0][1], told[0][3]} & {told[1][1], told[1][3]}
    at, named = {}, {}
    for number, subject, where, other in told:
        x, y = BESIDE[where]
        thing = other if subject == hub else subject
        at[thing] = (-x, -y) if subject == hub else (x, y)
        named[thing] = number
    dx, dy = BESIDE[asked]
    ahead = (at[first][0] - at[second][0]) * dx + (at[first][1] - at[second][1]) * dy
    return "yes" if ahead > 0 else "no", [[named[first], named[second]]]


def what_fits(facts: Facts, question: str) -> Solution:
    """Task 18: sizes by transitivity. Support: any fact about one end, and the first other one that links it on."""
    if question.startswith("Does"):
        inner, outer = ask(r"Does the ([a-z ]+) fit in the ([a-z ]+)", question)
    else:
        outer, inner = ask(r"Is the ([a-z ]+) bigger than the ([a-z ]+)", question)
    pairs = []
    for number, (kind, one, two) in events(facts):
        pairs.append((number, *((one, two) if kind == "fits" else (two, one))))
    larger: dict[str, set[str]] = {}
    for _, small, large in pairs:
        larger.setdefault(small, set()).add(large)

    def exceeds(small: str) -> set[str]:
        direct = larger.get(small, set())
        return direct.union(*(exceeds(one) for one in direct))

    right = outer in exceeds(inner)
    assert right or inner in exceeds(outer)
    small, large = (inner, outer) if right else (outer, inner)
    ways = []
    for number, below, above in pairs:
        between = below if right else above
        if above != large if right else below != small:
            continue
        other = next((pair for pair in pairs if pair[0] != number and between in pair), None)
        if other and other[1:] == ((small, between) if right else (between, large)):
            ways.append([number, other[0]])
    return "yes" if right else "no", ways


def which_way(facts: Facts, question: str) -> Solution:
    start, end = ask(r"How do you go from the (\w+) to the (\w+)", question)
    ways: dict[str, dict[str, tuple[str, int]]] = {}
    for number, (_, subject, direction, other) in events(facts):
        ways.setdefault(other, {})[subject] = (direction[0], number)
        ways.setdefault(subject, {})[other] = (BACK[direction][0], number)
    ((one, first), (two, second)) = next((ways[start][m], ways[m][end]) for m in ways[start] if end in ways[m])
    return f"{one},{two}", [[first, second]]


def why(facts: Facts, question: str) -> Solution:
    (name,) = ask(r"(?:Where will|Why did) (\w+) .*", question)
    number, motive = next((n, told[2]) for n, told in events(facts) if told[0] == "is" and told[1].lower() == name)
    return GOAL[motive] if question.startswith("Where") else motive, [[number]]


SOLVERS = {
    1: where_is_a_person,
    2: where_is_a_thing,
    3: where_was_a_thing,
    4: what_lies_there,
    5: who_gave,
    6: is_somebody_there,
    7: how_many,
    8: what_is_carried,
    9: is_somebody_there,
    10: is_somebody_there,
    11: where_after_pronouns,
    12: where_is_a_person,
    13: where_after_pronouns,
    14: where_before,
    15: what_is_feared,
    16: what_color,
    17: how_they_lie,
    18: what_fits,
    19: which_way,
    20: why,
}
