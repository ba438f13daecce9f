//! The names of the Engine's API operations, as its documentation has them: in errors, in the log and in the metrics.

/// `HEAD /containers/{id}/archive`
pub const CONTAINER_ARCHIVE_INFO: &str = "ContainerArchiveInfo";
/// `GET /containers/{id}/archive`
pub const CONTAINER_ARCHIVE: &str = "ContainerArchive";
/// `POST /containers/{id}/attach`
pub const CONTAINER_ATTACH: &str = "ContainerAttach";
/// `POST /containers/create`
pub const CONTAINER_CREATE: &str = "ContainerCreate";
/// `DELETE /containers/{id}`
pub const CONTAINER_DELETE: &str = "ContainerDelete";
/// `GET /containers/{id}/json`
pub const CONTAINER_INSPECT: &str = "ContainerInspect";
/// `POST /containers/{id}/kill`
pub const CONTAINER_KILL: &str = "ContainerKill";
/// `GET /containers/json`
pub const CONTAINER_LIST: &str = "ContainerList";
/// `POST /containers/{id}/resize`
pub const CONTAINER_RESIZE: &str = "ContainerResize";
/// `POST /containers/{id}/start`
pub const CONTAINER_START: &str = "ContainerStart";
/// `GET /containers/{id}/stats`
pub const CONTAINER_STATS: &str = "ContainerStats";
/// `POST /containers/{id}/stop`
pub const CONTAINER_STOP: &str = "ContainerStop";
/// `POST /containers/{id}/wait`
pub const CONTAINER_WAIT: &str = "ContainerWait";
/// `DELETE /images/{name}`
pub const IMAGE_DELETE: &str = "ImageDelete";
/// `GET /images/{name}/json`
pub const IMAGE_INSPECT: &str = "ImageInspect";
/// `GET /images/json`
pub const IMAGE_LIST: &str = "ImageList";
/// `POST /images/load`
pub const IMAGE_LOAD: &str = "ImageLoad";
/// `PUT /containers/{id}/archive`
pub const PUT_CONTAINER_ARCHIVE: &str = "PutContainerArchive";
/// `GET /events`
pub const SYSTEM_EVENTS: &str = "SystemEvents";
/// `GET /info`
pub const SYSTEM_INFO: &str = "SystemInfo";
/// `GET /_ping`
pub const SYSTEM_PING: &str = "SystemPing";
/// `GET /version`
pub const SYSTEM_VERSION: &str = "SystemVersion";

/// All of them.
pub const ALL: [&str; 22] = [
    CONTAINER_ARCHIVE_INFO,
    CONTAINER_ARCHIVE,
    CONTAINER_ATTACH,
    CONTAINER_CREATE,
    CONTAINER_DELETE,
    CONTAINER_INSPECT,
    CONTAINER_KILL,
    CONTAINER_LIST,
    CONTAINER_RESIZE,
    CONTAINER_START,
    CONTAINER_STATS,
    CONTAINER_STOP,
    CONTAINER_WAIT,
    IMAGE_DELETE,
    IMAGE_INSPECT,
    IMAGE_LIST,
    IMAGE_LOAD,
    PUT_CONTAINER_ARCHIVE,
    SYSTEM_EVENTS,
    SYSTEM_INFO,
    SYSTEM_PING,
    SYSTEM_VERSION,
];
