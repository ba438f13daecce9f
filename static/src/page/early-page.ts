/** The terminal page's first script: all it does is to open the way to the server. */

import { openEarly } from "../net/early";

const { wsUrl = "", role } = document.body.dataset;
openEarly(wsUrl, role === "spectator" ? "spectator" : "player");
