"""The objects bozzetto-mini learns: the pieces behind each prompt name, its synonyms, and how often it is drawn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thing:
    """One prompt name: its pieces, sampling weight, share of recoloured, and other words for it.

    A key is `catalogue/model` for a catalogue's piece, `own/NAME-N` for one that `models.build` makes. `yaw_deg` turns
    catalogue pieces about the vertical so that their front faces world +x.
    """

    name: str
    keys: tuple[str, ...]
    weight: float = 1.0
    recolour: float = 0.3
    yaw_deg: float = 0.0
    synonyms: tuple[str, ...] = ()


CC0, BY, KATOR, SCOPIA = "BlendSwap-CC-0", "BlendSwap-CC-BY", "KatorLegaz", "Scopia"
OWN = "own"


def own(name: str, count: int) -> tuple[str, ...]:
    """Keys of `count` pieces made in code."""
    return tuple(f"{OWN}/{name.replace(' ', '-')}-{i}" for i in range(count))


FURNITURE: tuple[Thing, ...] = (
    Thing(
        "chair",
        (f"{CC0}/plasticChair", f"{CC0}/chair2", f"{BY}/chair3", f"{BY}/ella_chair_f", f"{BY}/plaidChair",
         f"{SCOPIA}/plastic_chair", f"{SCOPIA}/chair4", *own("chair", 3)),
        3.0, 0.5, synonyms=("seat",),
    ),
    Thing("armchair", (f"{CC0}/armchair2", f"{CC0}/winchesterArmchair", f"{SCOPIA}/armchair2"), 1.5, 0.4),
    Thing(
        "sofa",
        (f"{CC0}/sofa2", f"{SCOPIA}/simple_sofa", f"{BY}/sofa3", f"{CC0}/winchesterSofa",
         f"{KATOR}/mid-century-bench-sofa"),
        2.0, 0.4, synonyms=("couch", "settee"),
    ),
    Thing("lamp", (f"{BY}/lamp", f"{SCOPIA}/livingroom_lamp1", f"{SCOPIA}/little_lamp2", *own("lamp", 2)), 2.0, 0.4,
          synonyms=("table lamp",)),
    Thing("table", (f"{SCOPIA}/table4", f"{SCOPIA}/wooden_table_office", f"{BY}/table", *own("table", 2)), 2.0, 0.4),
    Thing("vase", (f"{SCOPIA}/jar", f"{SCOPIA}/vase1", f"{SCOPIA}/vase2", *own("vase", 3)), 2.0, 0.4),
    Thing("bed", (f"{CC0}/bed2", f"{SCOPIA}/bed1", f"{BY}/lettoCloud"), 1.2),
    Thing("stool", (f"{BY}/green_stool", f"{CC0}/stool2"), 1.0),
    Thing("bench", (f"{KATOR}/concrete-bench", f"{KATOR}/painted-bench"), 1.0, synonyms=("park bench",)),
    Thing("office chair", (f"{KATOR}/office-chair", f"{SCOPIA}/office_chair"), 1.0, synonyms=("desk chair",)),
    Thing("toilet", (f"{CC0}/toiletsUnit", f"{BY}/modernToilet"), 1.0),
    Thing("sink", (f"{CC0}/washbasin",), 1.0, synonyms=("washbasin",)),
    Thing("bathtub", (f"{BY}/bath_jay_hardy", f"{SCOPIA}/islandBath"), 1.0, synonyms=("bath", "tub")),
    Thing("refrigerator", (f"{KATOR}/fridge",), 1.0, synonyms=("fridge",)),
    Thing("grand piano", (f"{CC0}/pianoAQueue",), 1.0, synonyms=("piano",)),
    Thing("ladder", (f"{SCOPIA}/step-ladder-wood",), 1.0, synonyms=("step ladder",)),
)  # fmt: skip
OUTDOORS: tuple[Thing, ...] = (
    Thing("cactus", (f"{CC0}/cactus", *own("cactus", 2)), 2.0),
    Thing("mailbox", (f"{CC0}/mofx_mailbox",), 2.0, synonyms=("letter box", "postbox")),
    Thing("snowman", (f"{BY}/bonecoDeNeve", *own("snowman", 2)), 2.0),
    Thing("fire hydrant", (f"{KATOR}/fire-hydrant",), 1.0, synonyms=("hydrant",)),
    Thing("traffic cone", (f"{SCOPIA}/cone",), 1.0, synonyms=("cone",)),
    Thing("traffic light", own("traffic light", 2), 1.0, synonyms=("stoplight",)),
    Thing("christmas tree", (f"{SCOPIA}/christmas_tree",), 1.0, synonyms=("xmas tree",)),
    Thing("palm tree", (f"{SCOPIA}/coconutTree", f"{SCOPIA}/palm"), 1.0, synonyms=("palm",)),
    Thing("tree", own("tree", 3), 1.2),
    Thing("plant", (f"{CC0}/littlePlant", f"{SCOPIA}/maceta"), 1.0, synonyms=("potted plant", "houseplant")),
    Thing("tulips", (f"{BY}/tulip", f"{BY}/tulips"), 1.0, synonyms=("flowers", "bouquet")),
    Thing("fountain", (f"{BY}/fountain",), 1.0),
    Thing("stone lantern", (f"{CC0}/stoneLantern",), 1.0, synonyms=("lantern",)),
    Thing("dog house", (f"{SCOPIA}/dog-house",), 1.0, synonyms=("doghouse", "kennel")),
    Thing("tent", (f"{SCOPIA}/campingTent",), 1.0),
    Thing("trash can", (f"{KATOR}/residential-trashcan",), 1.0, synonyms=("garbage bin", "dustbin")),
    Thing("house", own("house", 3), 1.5, synonyms=("home", "cottage")),
    Thing("castle", own("castle", 2), 1.2, synonyms=("fortress",)),
    Thing("windmill", own("windmill", 2), 1.2),
    Thing("lighthouse", own("lighthouse", 2), 1.2),
    Thing("igloo", own("igloo", 1), 1.0),
)
FOOD: tuple[Thing, ...] = (
    Thing("hamburger", (f"{BY}/hamburger", *own("hamburger", 2)), 2.0, synonyms=("burger", "cheeseburger")),
    Thing("hot dog", (f"{CC0}/hotDog",), 1.0, synonyms=("hotdog",)),
    Thing("cupcake", (f"{CC0}/cupcake", *own("cupcake", 2)), 1.2, synonyms=("muffin",)),
    Thing("birthday cake", (f"{SCOPIA}/birthday_cake", *own("birthday cake", 2)), 1.0, synonyms=("cake",)),
    Thing("donut", own("donut", 3), 1.0, synonyms=("doughnut",)),
    Thing("ice cream cone", own("ice cream cone", 3), 1.0, synonyms=("ice cream", "icecream")),
    Thing("pizza", own("pizza", 2), 1.0),
    Thing("cheese", own("cheese", 1), 1.0),
    Thing("apple", own("apple", 2), 1.0),
    Thing("pear", own("pear", 2), 1.0),
    Thing("banana", own("banana", 2), 1.0),
    Thing("strawberry", own("strawberry", 2), 1.0),
    Thing("pineapple", own("pineapple", 2), 1.0),
    Thing("watermelon", own("watermelon", 1), 1.0, synonyms=("melon",)),
    Thing("carrot", own("carrot", 2), 1.0),
    Thing("pumpkin", own("pumpkin", 2), 1.2, synonyms=("jack o lantern",)),
    Thing("mushroom", own("mushroom", 3), 1.2, synonyms=("toadstool",)),
    Thing("wine bottle", (f"{KATOR}/red-wine-bottle-01", f"{SCOPIA}/wine_bottle"), 1.0, synonyms=("bottle",)),
)
ANIMALS: tuple[Thing, ...] = (
    Thing("cat", (f"{SCOPIA}/cat", *own("cat", 2)), 1.2, synonyms=("kitten", "kitty")),
    Thing("dog", (f"{SCOPIA}/dog", f"{BY}/bulldog"), 1.2, synonyms=("puppy",)),
    Thing("horse", (f"{BY}/horse", f"{CC0}/horse2"), 1.0, synonyms=("pony",)),
    Thing("chicken", (f"{CC0}/chicken",), 1.0, synonyms=("hen",)),
    Thing("rabbit", (f"{SCOPIA}/rabbit",), 1.0, synonyms=("bunny", "hare")),
    Thing("duck", own("duck", 2), 1.2, synonyms=("rubber duck",)),
    Thing("penguin", own("penguin", 2), 1.0),
    Thing("owl", own("owl", 2), 1.0),
    Thing("fish", own("fish", 3), 1.0, synonyms=("goldfish",)),
    Thing("turtle", own("turtle", 2), 1.0, synonyms=("tortoise",)),
    Thing("pig", own("pig", 2), 1.0, synonyms=("piggy",)),
    Thing("teddy bear", (f"{CC0}/teddyBear", *own("teddy bear", 2)), 1.5, synonyms=("teddy", "bear")),
    Thing("rocking horse", (f"{CC0}/caballito",), 1.0, 0.3, 90.0),
)
VEHICLES: tuple[Thing, ...] = (
    Thing(
        "car",
        (f"{BY}/fordFocus", f"{SCOPIA}/seat_leon", f"{KATOR}/VW-new-beetle", f"{KATOR}/concept-sedan-01v2",
         f"{SCOPIA}/chevrolet"),
        2.0, 0.5, synonyms=("automobile",),
    ),
    Thing("bus", (f"{SCOPIA}/bus", f"{SCOPIA}/cityBus"), 1.2, 0.5, synonyms=("coach",)),
    Thing("truck", (f"{SCOPIA}/truck",), 1.0, synonyms=("lorry",)),
    Thing("forklift", (f"{CC0}/forkLift",), 1.0, 0.3, -90.0),
    Thing("tractor", own("tractor", 2), 1.0),
    Thing("train", own("train", 2), 1.0, synonyms=("locomotive",)),
    Thing("motorcycle", (f"{SCOPIA}/yamaha-yzr-r6",), 1.0, synonyms=("motorbike",)),
    Thing("bicycle", (f"{BY}/bike",), 1.0, synonyms=("bike",)),
    Thing("tricycle", (f"{SCOPIA}/tricycle",), 1.0, synonyms=("trike",)),
    Thing("wheelchair", (f"{BY}/wheelchair",), 1.0),
    Thing("rowboat", (f"{BY}/rowboat",), 1.0, synonyms=("boat",)),
    Thing("sailboat", own("sailboat", 2), 1.0, synonyms=("sailing boat",)),
    Thing("submarine", own("submarine", 2), 1.0),
    Thing("airplane", own("airplane", 2), 1.0, synonyms=("aeroplane", "plane")),
    Thing("biplane", (f"{CC0}/cartoon_biplane",), 1.0),
    Thing("helicopter", own("helicopter", 2), 1.0, synonyms=("chopper",)),
    Thing("hot air balloon", own("hot air balloon", 3), 1.0, synonyms=("balloon",)),
    Thing("rocket", own("rocket", 3), 1.2, synonyms=("rocket ship",)),
    Thing("flying saucer", own("flying saucer", 2), 1.0, synonyms=("ufo",)),
)  # fmt: skip
ARTICLES: tuple[Thing, ...] = (
    Thing("teapot", (f"{SCOPIA}/teapot", *own("teapot", 3)), 2.0, 0.4),
    Thing("mug", (f"{KATOR}/coffee-mug", *own("mug", 2)), 1.2, 0.4, synonyms=("coffee mug", "cup")),
    Thing("bowl", (f"{SCOPIA}/bowl",), 1.0, 0.4),
    Thing("blender", (f"{BY}/kitchenblender",), 1.0),
    Thing("toaster", (f"{SCOPIA}/toaster",), 1.0),
    Thing("candle", own("candle", 2), 1.0),
    Thing("fan", (f"{CC0}/tableFan",), 1.0, synonyms=("table fan",)),
    Thing("television", (f"{SCOPIA}/tv",), 1.0, synonyms=("tv",)),
    Thing("laptop", (f"{BY}/laptop",), 1.0, synonyms=("computer", "notebook")),
    Thing("camera", (f"{SCOPIA}/reflex_camera",), 1.0),
    Thing("robot", own("robot", 3), 1.5),
    Thing("guitar", own("guitar", 2), 1.0),
    Thing("drum", own("drum", 2), 1.0),
    Thing("trophy", own("trophy", 2), 1.0, synonyms=("goblet",)),
    Thing("crown", own("crown", 2), 1.0),
    Thing("bell", own("bell", 2), 1.0),
    Thing("hourglass", own("hourglass", 2), 1.0),
    Thing("treasure chest", own("treasure chest", 2), 1.0, synonyms=("chest",)),
    Thing("watering can", own("watering can", 2), 1.0),
    Thing("pencil", own("pencil", 2), 1.0),
    Thing("umbrella", (f"{CC0}/umbrella", *own("umbrella", 2)), 1.0, synonyms=("parasol",)),
    Thing("hat", (f"{SCOPIA}/chapeau", *own("hat", 2)), 1.0),
    Thing("helmet", (f"{SCOPIA}/casque",), 1.0),
    Thing("sneakers", (f"{SCOPIA}/sneakers",), 1.0, synonyms=("shoes",)),
    Thing("briefcase", (f"{CC0}/briefcase",), 1.0),
    Thing("suitcase", (f"{BY}/suitcase",), 1.0, synonyms=("luggage",)),
    Thing("basket", (f"{SCOPIA}/shopping-basket",), 1.0),
    Thing("barrel", (f"{CC0}/barrel",), 1.0, synonyms=("keg",)),
    Thing("crate", (f"{CC0}/crate",), 1.0),
    Thing("cardboard box", (f"{SCOPIA}/open-cardboard-box",), 1.0, synonyms=("box", "carton")),
    Thing("gift", (f"{BY}/gift", *own("gift", 2)), 1.2, synonyms=("present",)),
    Thing("fire extinguisher", (f"{CC0}/fireExtinguisher",), 1.0, synonyms=("extinguisher",)),
    Thing("soccer ball", (f"{BY}/ballonFoot",), 1.0, synonyms=("football", "soccerball")),
    Thing("basketball", (f"{CC0}/basketball",), 1.0),
    Thing("dice", own("dice", 2), 1.0, synonyms=("die",)),
    Thing("puzzle cube", (f"{BY}/rubix2",), 1.0, 0.1, synonyms=("magic cube",)),
)
THINGS: tuple[Thing, ...] = (*FURNITURE, *OUTDOORS, *FOOD, *ANIMALS, *VEHICLES, *ARTICLES)
SYNONYMS: dict[str, str] = {word: thing.name for thing in THINGS for word in thing.synonyms}
"""The name behind every other word for it."""
