"""The sentences of the movement and possession tasks; alternatives are equally likely."""

from .telling import Dice

GO = ("went to", "went back to", "journeyed to", "travelled to", "moved to")
GET = ("got", "took", "grabbed", "picked up")
DROP = ("dropped", "discarded", "put down", "left")
GIVE = ("gave", "handed", "passed")
THEN = ("Then", "After that", "Following that", "Afterwards")


def go(dice: Dice, who: str, place: str) -> str:
    return f"{who} {dice.choose(GO)} the {place}."


def get(dice: Dice, who: str, thing: str, there: float = 1.0) -> str:
    """there: how likely the word "there" is at the end."""
    return f"{who} {dice.choose(GET)} the {thing}{' there' if dice.chance(there) else ''}."


def drop(dice: Dice, who: str, thing: str, there: float = 0.2) -> str:
    return f"{who} {dice.choose(DROP)} the {thing}{' there' if dice.chance(there) else ''}."


def give(dice: Dice, who: str, thing: str, receiver: str) -> str:
    return f"{who} {dice.choose(GIVE)} the {thing} to {receiver}."
