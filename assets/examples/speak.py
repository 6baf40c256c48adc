"""Streams a WAV file (16 bits, mono, 16, 24 or 48 kHz) to the avatar, and barges in after two seconds: pip install aiohttp

    python assets/examples/speak.py speech.wav
"""
import asyncio, json, sys, wave
import aiohttp

async def main(path, address="http://127.0.0.1:8080/v1/sessions/live/speech/stream"):
    async with aiohttp.ClientSession() as http, http.ws_connect(address) as socket:
        with wave.open(path) as file:
            await socket.send_json({"type": "start", "sample_rate": file.getframerate()})
            # As a synthesiser gives it: faster than it is spoken. Twenty seconds fit, so that a clear needn't wait.
            for _ in range(20):
                await socket.send_bytes(file.readframes(file.getframerate()))
        await socket.send_json({"type": "end"})
        async for message in socket:
            print(message.data)
            told = json.loads(message.data)
            if told["type"] == "started":
                asyncio.get_running_loop().call_later(2, lambda: asyncio.ensure_future(socket.send_json({"type": "clear"})))
            if told["type"] in ("cleared", "error"):
                break

asyncio.run(main(*sys.argv[1:]))
