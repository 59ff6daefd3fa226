// SPDX-License-Identifier: Apache-2.0
// An outside token issuer: node login_issuer.mjs CERT KEY. Prints its address. /realm is the issuer:
// GET /realm/token?sub=S&aud=A signs a token with the newest key, POST /realm/rotate makes another
// key, /slow/... answers its keys only after POST /release.
import https from 'node:https';
import { readFileSync } from 'node:fs';
import { generateKeyPairSync, sign, randomUUID } from 'node:crypto';

const [cert, key] = process.argv.slice(2).map((f) => readFileSync(f));
const keys = [];
const waiting = [];

function rotate() {
	const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
	const kid = `key-${keys.length + 1}`;
	keys.unshift({ kid, private: pair.privateKey, jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' } });
	return kid;
}
rotate();

function token(base, sub, aud) {
	const b64 = (o) => Buffer.from(JSON.stringify(o)).toString('base64url');
	const now = Math.floor(Date.now() / 1000);
	const text = `${b64({ alg: 'RS256', typ: 'JWT', kid: keys[0].kid })}.${b64({ iss: base, sub, aud, iat: now, exp: now + 300, jti: randomUUID() })}`;
	return `${text}.${sign('sha256', Buffer.from(text), keys[0].private).toString('base64url')}`;
}

const server = https.createServer({ cert, key }, (req, res) => {
	const url = new URL(req.url, `https://127.0.0.1:${server.address().port}`);
	const [, realm, ...rest] = url.pathname.split('/');
	const base = `${url.origin}/${realm}`;
	const json = (o) => { res.setHeader('Content-Type', 'application/json'); res.end(JSON.stringify(o)); };
	switch (rest.join('/')) {
	case '.well-known/openid-configuration':
		return json({ issuer: base, jwks_uri: `${base}/keys` });
	case 'keys':
		if (realm === 'slow')
			return waiting.push(() => json({ keys: keys.slice(0, 1).map((k) => k.jwk) }));
		return json({ keys: keys.slice(0, 1).map((k) => k.jwk) });
	case 'token':
		return res.end(token(base, url.searchParams.get('sub'), url.searchParams.get('aud')));
	case 'rotate':
		return res.end(rotate());
	case 'waiting':
		return res.end(String(waiting.length));
	case 'release':
		waiting.splice(0).forEach((f) => f());
		return res.end();
	default:
		res.statusCode = 404;
		return res.end();
	}
});
server.listen(0, '127.0.0.1', () => console.log(`https://127.0.0.1:${server.address().port}`));
