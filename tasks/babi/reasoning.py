"""Tasks 15, 16 and 20: fears, colours and motives."""

from collections.abc import Mapping
from typing import ClassVar

from . import grammar
from .telling import Pool, Tale, people

PLURALS = {"mouse": "mice", "sheep": "sheep", "wolf": "wolves", "cat": "cats"}
ANIMALS = ("swan", "lion", "frog", "rhino")
COLORS = ("gray", "white", "yellow", "green")
MOTIVES = {  # motive -> where it leads, and to what
    "hungry": ("kitchen", "apple"),
    "thirsty": ("kitchen", "milk"),
    "bored": ("garden", "football"),
    "tired": ("bedroom", "pajamas"),
}


class BasicDeduction(Tale):
    """Task 15. What is somebody afraid of, being of that species?"""

    pools: ClassVar[Mapping[str, Pool]] = {"people": people("Gertrude", "Winona", "Jessica", "Emily")}
    questions = 4

    def tell(self) -> None:
        fears: dict[str, tuple[str, int]] = {}
        species: dict[str, tuple[str, int]] = {}
        subjects = [*PLURALS, *self.people]
        while len(fears) + len(species) < len(subjects):
            subject = self.dice.choose(subjects)
            if subject in PLURALS and subject not in fears:
                feared = self.dice.other(list(PLURALS), subject)
                text = f"{PLURALS[subject].capitalize()} are afraid of {PLURALS[feared]}."
                fears[subject] = (feared, self.say(text))
            elif subject not in PLURALS and subject not in species:
                kind = self.dice.choose(list(PLURALS))
                if kind in fears:  # a person's species comes after its fear
                    species[subject] = (kind, self.say(f"{subject} is a {kind}."))
        for _ in range(self.wanted):
            person = self.dice.choose(self.people)
            kind, fact = species[person]
            feared, reason = fears[kind]
            self.ask(f"What is {person.lower()} afraid of?", feared, fact, reason)


class BasicInduction(Tale):
    """Task 16. What colour is somebody, judged by the others of the same species?

    A species may change its colour with every new member; the answer follows the member named last.
    """

    pools: ClassVar[Mapping[str, Pool]] = {"people": people("Lily", "Bernhard", "Greg", "Julius", "Brian", fewest=2)}
    questions = None

    def tell(self) -> None:
        while not self.try_to_tell():
            self.lines.clear()
            self.num_facts = 0

    def try_to_tell(self) -> bool:
        """Everybody's species and colour but the last colour, which is asked; False if the others do not suit."""
        now: dict[str, str] = {}  # the colour of each species
        species: dict[str, tuple[str, int]] = {}
        colors: dict[str, tuple[str, int]] = {}
        while len(species) + len(colors) < 2 * len(self.people) - 1:
            person = self.dice.choose(self.people)
            if person not in species:
                kind = self.dice.choose(ANIMALS)
                now[kind] = self.dice.choose(COLORS)
                species[person] = (kind, self.say(f"{person} is a {kind}."))
            elif person not in colors:
                color = now[species[person][0]]
                colors[person] = (color, self.say(f"{person} is {color}."))
        (asked,) = set(self.people) - set(colors)
        kind, fact = species.pop(asked)
        alike = [(said, person) for person, (other, said) in species.items() if other == kind]
        if len(alike) in (0, 2):  # in the release never
            return False
        said, person = max(alike)
        color, seen = colors[person]
        self.ask(f"What color is {asked}?", color, fact, said, seen)
        return True


class AgentsMotivations(Tale):
    """Task 20. Where will somebody go, why did they, and why did they take that? A question behind every fact."""

    pools: ClassVar[Mapping[str, Pool]] = {"people": people("Sumit", "Jason", "Antoine", "Yann")}
    questions = None

    def tell(self) -> None:
        motives = {person: self.dice.choose(list(MOTIVES)) for person in self.people}
        reasons: dict[str, int] = {}
        stages = dict.fromkeys(self.people, 0)
        taken: set[str] = set()  # motives whose thing is gone
        while True:
            ready = [one for one in self.people if stages[one] < 2 or (stages[one] == 2 and motives[one] not in taken)]
            if not ready:
                return
            person = self.dice.choose(ready)
            motive, name = motives[person], person.lower()
            place, thing = MOTIVES[motive]
            if stages[person] == 0:
                reasons[person] = self.say(f"{person} is {motive}.")
                self.ask(f"Where will {name} go?", place, reasons[person])
            elif stages[person] == 1:
                self.say(grammar.go(self.dice, person, place))
                self.ask(f"Why did {name} go to the {place}?", motive, reasons[person])
            else:
                taken.add(motive)
                self.say(grammar.get(self.dice, person, thing))
                self.ask(f"Why did {name} get the {thing}?", motive, reasons[person])
            stages[person] += 1
