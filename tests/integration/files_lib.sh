#!/bin/bash
# A web server of the test's own that kiln may read from: files_start before serve_start, files_stop after.
# shellcheck shell=bash
# files_start: serves $T/files over HTTPS; sets FILES_URL. $KILN_DATA/kiln.yaml trusts it meanwhile.
files_start() {
	mkdir -p "$T/files" && mkfifo "$T/files.ready" &&
		openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/files.key" -out "$T/files.pem" -days 2 \
			-subj /CN=files -addext subjectAltName=IP:127.0.0.1 2>"$T/files.err" || return 1
	node -e '
		const [dir, key, cert] = process.argv.slice(1), fs = require("fs"), path = require("path");
		require("https").createServer({key: fs.readFileSync(key), cert: fs.readFileSync(cert)}, (q, r) => {
			const file = path.join(dir, path.basename(q.url));
			if (!fs.existsSync(file)) { r.writeHead(404); return r.end(); }
			r.writeHead(200, {"content-length": fs.statSync(file).size});
			fs.createReadStream(file).pipe(r);
		}).listen(0, "127.0.0.1", function () { console.log(this.address().port); });' \
		"$T/files" "$T/files.key" "$T/files.pem" >"$T/files.ready" 2>>"$T/files.err" &
	FILES=$!
	read -r FILES_URL <"$T/files.ready"
	FILES_URL=https://127.0.0.1:$FILES_URL
	printf 'fetch:\n  allowPrivate: true\n  caFile: %s\n' "$T/files.pem" >"$KILN_DATA/kiln.yaml"
}
files_stop() {
	rm -f "$KILN_DATA/kiln.yaml"
	kill "$FILES" 2>/dev/null
}
