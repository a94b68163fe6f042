"""Every word and every answer of the released tasks: facts about the release (babi-tasks.md, appendix A)."""

PLACES = "bathroom bedroom garden hallway kitchen office"
MOVES = "back journeyed moved the to travelled went"
GETS = "discarded down dropped got grabbed left picked put there took up"
STANDARD = f"Daniel John Mary Sandra {PLACES} {MOVES}"
OTHER = f"Bill Fred Julie Mary bedroom cinema kitchen office park school {MOVES}"
THINGS = f"apple football milk {GETS}"
GIFTS = "gave handed passed"
THEN = "After Afterwards Following Then that"
LISTS = [
    *(["apple", "apple,football", "apple,milk", "football", "football,apple", "football,milk"]),
    *(["milk", "milk,apple", "milk,football", "nothing"]),
]
THREES = [
    *(["apple,football,milk", "apple,milk,football", "football,apple,milk"]),
    *(["football,milk,apple", "milk,apple,football", "milk,football,apple"]),
]

WORDS_AND_ANSWERS = {
    1: (f"Where is {STANDARD}", PLACES),
    2: (f"Where is {STANDARD} {THINGS}", PLACES),
    3: (f"Where was before {STANDARD} {THINGS}", PLACES),
    4: (f"The What is north south east west of the {PLACES}", PLACES),
    5: (
        f"What Who did give received Bill Fred Jeff Mary {PLACES} {MOVES} {THINGS} {GIFTS}",
        "Bill Fred Jeff Mary apple football milk",
    ),
    6: (f"Is in {STANDARD} {THINGS}", "no yes"),
    7: (f"How many objects is carrying {STANDARD} {THINGS} {GIFTS}", "none one two three"),
    8: (f"What is carrying {STANDARD} {THINGS}", " ".join((*LISTS, *THREES))),
    9: (f"Is is in no not longer {STANDARD}", "no yes"),
    10: (f"Is is in either or {OTHER}", "maybe no yes"),
    11: (f"Where is he she {THEN} {STANDARD}", PLACES),
    12: (f"Where is and {STANDARD}", PLACES),
    13: (f"Where is and they {THEN} {STANDARD}", PLACES),
    14: (
        f"Where was before This this Yesterday yesterday morning afternoon evening {OTHER}",
        "bedroom cinema kitchen office park school",
    ),
    15: (
        "What is afraid of are a Cats Mice Sheep Wolves cats mice sheep wolves cat mouse wolf "
        "Emily Gertrude Jessica Winona emily gertrude jessica winona",
        "cat mouse sheep wolf",
    ),
    16: (
        "What color is a Bernhard Brian Greg Julius Lily frog lion rhino swan gray green white yellow",
        "gray green white yellow",
    ),
    17: (
        "Is The is the above below left right of to red blue yellow pink square triangle rectangle sphere",
        "no yes",
    ),
    18: (
        "Does Is The is the bigger than fit fits in inside of box chest chocolate chocolates container suitcase",
        "no yes",
    ),
    19: (
        f"How The do you go from to the is of north south east west {PLACES}",
        "e,e e,n e,s n,e n,n n,w s,e s,s s,w w,n w,s w,w",
    ),
    20: (
        f"Where Why will did go get is Antoine Jason Sumit Yann antoine jason sumit yann {MOVES} bedroom garden "
        "kitchen apple football milk pajamas got grabbed picked up took there bored hungry thirsty tired",
        "bedroom bored garden hungry kitchen thirsty tired",
    ),
}
