// Raw HTTP for the suites of the server. Usage: http_tool.mjs MODE ...
import net from "node:net";

const [mode, ...args] = process.argv.slice(2);

// late SOCKET PID TARGET: a PUT whose body comes after the server was told to stop.
function late([socket, pid, target]) {
	const s = net.connect(socket);
	let seen = "", asked = false;
	const body = '{"location":"eastus"}';

	function refused(then) {
		const probe = net.connect(socket);
		probe.on("error", then);
		probe.on("connect", () => {
			// accepted by the kernel, perhaps; a stopping server does not answer
			probe.write("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
			let got = "";
			probe.on("data", d => got += d);
			probe.on("close", () => got.startsWith("HTTP/1.1 200") ? refused(then) : then());
		});
		setTimeout(() => probe.destroy(), 500);
	}
	s.write(`PUT ${target} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
	s.on("data", d => {
		seen += d;
		if (!asked && seen.includes("100 Continue\r\n\r\n")) {
			asked = true;
			seen = seen.slice(seen.indexOf("\r\n\r\n") + 4);
			process.kill(+pid, "SIGTERM");
			refused(() => s.write(body));
		}
	});
	s.on("close", () => process.stdout.write(seen));
}

({ late })[mode](args);
