/** The shared worker: one event stream for all tabs of a browser, since HTTP/1.1 allows six connections in all. */

import { Hub } from "./net/hub.js";

const hub = new Hub();

self.onconnect = ({ ports: [port] }) => hub.attach(port);
