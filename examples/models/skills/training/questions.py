"""Questions with one right answer, drawn from a seed by a program: no data set is involved.

Ten skills, each a function from a random source to a (question, answer) pair. Five of them (`OPEN`) have so many
possible questions that a tenth can be kept away from training; which ones is decided by the question's own hash, so
the split holds for every seed. The other five are small enough to be learned by heart and are marked on what was
learned.

Changing the order in which a skill draws random numbers changes every question after it, `test.jsonl` included.
"""
import hashlib
import json
import pathlib
import random
import string

LEXICON = json.loads(pathlib.Path(__file__).with_name("lexicon.json").read_text())
OPEN = frozenset({"add", "subtract", "compare", "reverse", "sort"})
HELD_OUT_BELOW = 26  # of 256 values of the hash's first byte: one in ten

CHAT_TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)


def prompt(question):
    """What the model reads before it answers: the chat template applied to one user message."""
    return f"<s>user: {question}</s><s>assistant: "


def add(rng):
    left, right = rng.randint(0, 99), rng.randint(0, 99)
    forms = [f"{left}+{right}=", f"What is {left}+{right}?", f"Add {left} and {right}."]
    return rng.choice(forms), str(left + right)


def subtract(rng):
    numbers = rng.randint(0, 99), rng.randint(0, 99)
    high, low = max(numbers), min(numbers)
    forms = [f"{high}-{low}=", f"What is {high}-{low}?", f"Subtract {low} from {high}."]
    return rng.choice(forms), str(high - low)


def compare(rng):
    pair = rng.sample(range(1000), 2)
    word, pick = ("larger", max) if rng.random() < 0.5 else ("smaller", min)
    return f"Which is {word}, {pair[0]} or {pair[1]}?", str(pick(pair))


def reverse(rng):
    if rng.random() < 0.4:
        letters = rng.choice(LEXICON["words"])[:6]
    else:
        letters = [rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 6))]
    return "Reverse: " + " ".join(letters), " ".join(reversed(letters))


def sort(rng):
    digits = [rng.randint(0, 9) for _ in range(rng.randint(3, 6))]
    return "Sort: " + " ".join(map(str, digits)), " ".join(map(str, sorted(digits)))


def count(rng):
    times, word = rng.randint(1, 9), rng.choice(LEXICON["words"])
    return "How many words: " + " ".join([word] * times), LEXICON["numbers"][times]


def day(rng):
    days = LEXICON["days"]
    start, distance = rng.randrange(7), rng.randint(1, 6)
    side, step = ("after", distance) if rng.random() < 0.5 else ("before", -distance)
    plural = "" if distance == 1 else "s"
    return f"Which day is {distance} day{plural} {side} {days[start]}?", days[(start + step) % 7]


def month(rng):
    months = LEXICON["months"]
    start = rng.randrange(12)
    side, step = ("after", 1) if rng.random() < 0.5 else ("before", -1)
    return f"Which month comes {side} {months[start]}?", months[(start + step) % 12]


def repeat(rng):
    times, word = rng.randint(2, 4), rng.choice(LEXICON["words"])
    return f"Say {word} {LEXICON['numbers'][times]} times.", " ".join([word] * times)


def fact(rng):
    question = rng.choice(list(LEXICON["facts"]))
    return question, LEXICON["facts"][question]


SKILLS = {f.__name__: f for f in (add, subtract, compare, reverse, sort, count, day, month, repeat, fact)}


def is_held_out(skill, question):
    """Whether training must never see this question."""
    return skill in OPEN and hashlib.sha256(question.encode()).digest()[0] < HELD_OUT_BELOW


def stream(seed, skills=None, held_out=False):
    """Endless (skill, question, answer). With `held_out`, open skills give only what training never sees."""
    rng, names = random.Random(seed), tuple(skills or SKILLS)
    while True:
        skill = rng.choice(names)
        while True:
            question, answer = SKILLS[skill](rng)
            if skill not in OPEN or is_held_out(skill, question) == held_out:
                break
        yield skill, question, answer


def test_set(each=40):
    """The first `each` test questions of every skill, the same on every call."""
    for skill in SKILLS:
        source = stream(99, (skill,), held_out=True)
        yield from (next(source) for _ in range(each))
