#!/usr/bin/env node
// bench/slow_link.mjs PORT DELAY-MS MBIT: a slow link to PORT of loopback. Prints "ready PORT"; the delay is
// of a round trip, half in each direction; all connections of a direction share the bandwidth. A line on
// standard input is answered by the bytes that came from PORT so far. Ends with standard input.
import { createConnection, createServer } from 'node:net';
import { createInterface } from 'node:readline';

const [port, delay, mbit] = process.argv.slice(2).map(Number);
const perMs = mbit * 125; // bytes
let received = 0;

// When the link is free for the next byte of a direction, by this process's clock.
function direction() {
	let free = 0;
	return (bytes) => {
		const now = performance.now();
		free = Math.max(free, now) + bytes / perMs;
		return free - now + delay / 2;
	};
}

// Keeps the order of what it was given; stops reading while much is under way.
function relay(from, to, when, count) {
	let underWay = 0;
	from.on('data', (data) => {
		underWay += data.length;
		if (underWay > 1 << 20)
			from.pause();
		setTimeout(() => {
			underWay -= data.length;
			count(data.length);
			if (!to.destroyed)
				to.write(data);
			if (underWay <= 1 << 19)
				from.resume();
		}, when(data.length));
	});
	from.on('end', () => setTimeout(() => to.end(), when(0)));
	from.on('error', () => to.destroy());
	from.on('close', () => setTimeout(() => to.destroy(), when(0)));
}

const up = direction(), down = direction();
const server = createServer({ noDelay: true }, (client) => {
	const peer = createConnection({ port, host: '127.0.0.1', noDelay: true });
	relay(client, peer, up, () => {});
	relay(peer, client, down, (n) => { received += n; });
});
server.listen(0, '127.0.0.1', () => console.log(`ready ${server.address().port}`));
createInterface({ input: process.stdin }).on('line', () => console.log(received)).on('close', () => process.exit(0));
