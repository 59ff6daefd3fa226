// SPDX-License-Identifier: Apache-2.0
// The checker's own proof: what is right passes, each kind of fault is found where it is.
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

import {validate} from './schema.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const load = f => JSON.parse(fs.readFileSync(`${here}/facts/${f}.json`, 'utf8'));
const gallery = load('gallery-2023-07-03'), builder = load('imagebuilder-2024-02-01'), catalog = load('images-2022-08-01');

const version = () => ({
	id: '/x', name: '1.0.0', type: 't', location: 'eastus', tags: {a: 'b'}, properties: {
		provisioningState: 'Succeeded', safetyProfile: {allowDeletionOfReplicatedLocations: false},
		storageProfile: {osDiskImage: {sizeInGB: 4, hostCaching: 'ReadOnly'}, dataDiskImages: [{lun: 0}]},
		publishingProfile: {publishedDate: '2030-01-02T03:04:05Z', targetRegions: [{name: 'eastus', regionalReplicaCount: 1}]},
	},
});
const template = () => ({
	location: 'eastus', identity: {type: 'None'}, properties: {
		source: {type: 'PlatformImage', publisher: 'p'}, customize: [{type: 'Shell', inline: ['true']}],
		distribute: [{type: 'SharedImage', galleryImageId: '/x', runOutputName: 'out'}]},
});
const v = change => { const d = version(); change(d, d.properties); return d; };
const t = change => { const d = template(); change(d, d.properties); return d; };

// [facts, rule, document, path of the finding or null]
const cases = [
	[gallery, '@GalleryImageVersion', version(), null],
	[gallery, '@GalleryImageVersion', v((d, p) => { p.publishingProfile.publishedDate = 'today'; }), 'properties.publishingProfile.publishedDate'],
	[gallery, '@GalleryImageVersion', v((d, p) => { p.publishingProfile.publishedDate = '2030-13-02T03:04:05Z'; }), 'properties.publishingProfile.publishedDate'],
	[gallery, '@GalleryImageVersion', v((d, p) => { p.provisioningState = 'Replicating'; }), 'properties.provisioningState'],
	[gallery, '@GalleryImageVersion', v((d, p) => { p.storageProfile.osDiskImage.sizeInGB = '4'; }), 'properties.storageProfile.osDiskImage.sizeInGB'],
	[gallery, '@GalleryImageVersion', v((d, p) => { p.publishingProfile.targetRegions[0].regionalReplicaCount = 1.5; }), 'properties.publishingProfile.targetRegions[0].regionalReplicaCount'],
	[gallery, '@GalleryImageVersion', v((d, p) => { delete p.publishingProfile.targetRegions[0].name; }), 'properties.publishingProfile.targetRegions[0].name'],
	[gallery, '@GalleryImageVersion', v((d, p) => { p.publishingProfile.targetRegions = {}; }), 'properties.publishingProfile.targetRegions'],
	[gallery, '@GalleryImageVersion', v((d, p) => { delete p.storageProfile; }), 'properties.storageProfile'],
	[gallery, '@GalleryImageVersion', v(d => { d.properties = null; }), 'properties'],
	[gallery, '@GalleryImageVersion', v(d => { d.tags = {a: 1}; }), 'tags.a'],
	[gallery, '@GalleryImageVersion', v(d => { d.kind = 'x'; }), 'kind'],
	[gallery, '@GalleryImageVersion', [], '(body)'],
	[gallery, '@GalleryImageVersionList', {value: [version()], nextLink: 'https://x'}, null],
	[gallery, '@GalleryImageVersionList', {value: null}, 'value'],
	[gallery, '@GalleryImageVersionList', {}, '.value'],
	[builder, '@ImageTemplate', template(), null],
	[builder, '@ImageTemplate', t((d, p) => { p.customize[0].type = 'shell'; }), 'properties.customize[0].type'],
	[builder, '@ImageTemplate', t((d, p) => { p.customize[0].destination = '/x'; }), 'properties.customize[0].destination'],
	[builder, '@ImageTemplate', t((d, p) => { delete p.distribute[0].galleryImageId; }), 'properties.distribute[0].galleryImageId'],
	[catalog, '[@VirtualMachineImageResource]', [{name: 'a', location: 'eastus'}], null],
	[catalog, '[@VirtualMachineImageResource]', {value: []}, '(body)'],
];
for (const [facts, rule, document, want] of cases) {
	const found = validate(document, rule, facts.models), title = `${rule}: ${want ?? 'nothing wrong'}`;
	const ok = want === null ? found.length === 0 : found.some(f => f.path.replace(/^\./, '') === want.replace(/^\./, ''));
	console.log(ok ? `ok selftest ${title}` : `  | found ${JSON.stringify(found)}\nnot ok selftest ${title}`);
}
