"""A node that takes a disk that another one had."""

from pathlib import Path

from protocol import messages as say
from protocol.disks import DiskContent
from tests.agent.volume_ground import Ground


async def test_who_takes_a_disk_tells_first_what_another_node_made_of_it(tmp_path: Path) -> None:
    async with Ground(tmp_path) as ground:
        a, b = ground.nodes["a"], ground.nodes["b"]
        await ground.format(a)
        assert b.report.disks[0].content is not DiskContent.OURS

        await ground.move(b)

        owned = [type(said) for said in b.said].index(say.DiskOwned)
        *_, before = (said for said in b.said[:owned] if isinstance(said, say.DiskReport))
        assert before.disks[0].content is DiskContent.OURS
