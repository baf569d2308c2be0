"""The objects bozzetto-mini learns: catalogue pieces by prompt name, and how often they are drawn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thing:
    """One prompt name: catalogue pieces `catalogue/model`, sampling weight, share of recoloured.

    `yaw_deg` turns the pieces about the vertical so that their front faces world +x.
    """

    name: str
    keys: tuple[str, ...]
    weight: float = 1.0
    recolour: float = 0.25
    yaw_deg: float = 0.0


CC0, BY, KATOR, SCOPIA = "BlendSwap-CC-0", "BlendSwap-CC-BY", "KatorLegaz", "Scopia"

THINGS: tuple[Thing, ...] = (
    Thing("hamburger", (f"{BY}/hamburger",), 5.0, 0.05),
    Thing("snowman", (f"{BY}/bonecoDeNeve",), 5.0, 0.05),
    Thing("cactus", (f"{CC0}/cactus",), 5.0, 0.05),
    Thing("mailbox", (f"{CC0}/mofx_mailbox",), 5.0, 0.05),
    Thing(
        "chair",
        (f"{CC0}/plasticChair", f"{CC0}/chair2", f"{BY}/chair3"),
        7.0,
        0.6,
    ),
    Thing("teddy bear", (f"{CC0}/teddyBear",), 1.0, 0.05),
    Thing("teapot", (f"{SCOPIA}/teapot",), 1.0, 0.05),
    Thing("soccer ball", (f"{BY}/ballonFoot",), 1.0, 0.05),
    Thing("basketball", (f"{CC0}/basketball",), 1.0, 0.05),
    Thing("cupcake", (f"{CC0}/cupcake",), 1.0, 0.05),
    Thing("hot dog", (f"{CC0}/hotDog",), 1.0, 0.05),
    Thing("fire hydrant", (f"{KATOR}/fire-hydrant",), 1.0, 0.05),
    Thing("barrel", (f"{CC0}/barrel",), 1.0, 0.05),
    Thing("car", (f"{BY}/fordFocus", f"{SCOPIA}/seat_leon", f"{KATOR}/VW-new-beetle"), 1.5, 0.4),
    Thing("christmas tree", (f"{SCOPIA}/christmas_tree",), 1.0, 0.05),
    Thing("bed", (f"{CC0}/bed2",), 1.0, 0.05),
    Thing("horse", (f"{BY}/horse",), 1.0, 0.05),
    Thing("armchair", (f"{CC0}/armchair2", f"{CC0}/winchesterArmchair"), 1.2, 0.35),
    Thing("sofa", (f"{CC0}/sofa2", f"{SCOPIA}/simple_sofa", f"{BY}/sofa3"), 1.3, 0.35),
    Thing("lamp", (f"{BY}/lamp", f"{SCOPIA}/livingroom_lamp1"), 1.2, 0.05),
    Thing("table", (f"{SCOPIA}/table4", f"{SCOPIA}/wooden_table_office", f"{BY}/table"), 1.3, 0.05),
    Thing("vase", (f"{SCOPIA}/jar",), 1.0, 0.35),
    Thing("cat", (f"{SCOPIA}/cat",), 1.0, 0.05),
    Thing("traffic cone", (f"{SCOPIA}/cone",), 1.0, 0.05),
    Thing("palm tree", (f"{SCOPIA}/coconutTree",), 1.0, 0.05),
    Thing("bus", (f"{SCOPIA}/bus",), 1.0, 0.05),
)
