"""Talks to quic_echo with aioquic: streams at once and one after another, each compared.

    python3 judge.py PORT
"""

import asyncio
import ssl
import sys

from aioquic.asyncio import connect
from aioquic.quic.configuration import QuicConfiguration

STREAMS = 8
BYTES = 1 << 20


async def ask(client, n, size):
    """One stream there and back; what was wrong."""
    reader, writer = await client.create_stream()
    data = bytes((n + i) % 251 for i in range(size))
    writer.write(data)
    writer.write_eof()
    got = await reader.read()
    assert got == data, f"stream {n}: {len(got)} of {size} bytes, or other ones"
    return len(got)


async def main(port):
    wants = QuicConfiguration(
        is_client=True, alpn_protocols=["echo"], server_name="localhost", verify_mode=ssl.CERT_NONE
    )
    for connection in range(2):
        async with connect("127.0.0.1", port, configuration=wants) as client:
            await client.ping()
            sizes = await asyncio.gather(*(ask(client, n, BYTES) for n in range(STREAMS)))
            assert await ask(client, 99, 0) == 0
            print(f"aioquic: connection {connection}: {sum(sizes)} bytes came back", flush=True)


asyncio.run(main(int(sys.argv[1])))
