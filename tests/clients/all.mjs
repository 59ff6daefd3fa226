// SPDX-License-Identifier: Apache-2.0
// Every suite, in a group of its own that goes at the end. KILN_DATA: of a running server; GOLDEN: an
// image version in it, below the subscription.
import builder from './builder.mjs';
import disks from './disks.mjs';
import galleries from './galleries.mjs';
import {group, my, test} from './lib.mjs';
import resources from './resources.mjs';
import roles from './roles.mjs';

await test('a group for all of it', () => my.resources.resourceGroups.createOrUpdate(group, {location: 'eastus'}));
await Promise.all([builder(), (async () => { await galleries(); await disks(); })(), (async () => { await resources(); await roles(); })()]);
await test('the group and all in it is deleted', () => my.resources.resourceGroups.beginDeleteAndWait(group));
