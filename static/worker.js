/** The shared worker: one event stream for all tabs, since browsers allow six HTTP/1.1 connections per server. */

import { Hub } from "./net/hub.js";

const hub = new Hub();

self.onconnect = ({ ports: [port] }) => hub.attach(port);
