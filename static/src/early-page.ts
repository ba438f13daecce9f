/** The terminal page's first script: all it does is to open the way to the server. */

import { openEarly } from "./early";

const { wsUrl = "", role } = document.body.dataset;
openEarly(wsUrl, role === "spectator" ? "spectator" : "player");
