//! The calls for images: which there are, to load one, to remove one.
//!
//! No threads of its own; see [`super::client`].

use std::io::Read;
use std::time::Duration;

use ureq::http::Method;

use super::answer::load_outcome;
use super::call::{Body, LONG_ANSWER, Request, SMALL_ANSWER};
use super::client::{Engine, LONGEST, Result};
use super::error::Error;
use super::operation;
use super::path::is_image_name;
use super::types::{Image, ImageSummary};

/// An image of hundreds of megabytes is unpacked on a slow disk.
const LOAD: Duration = Duration::from_secs(600);

impl Engine {
    /// All images on the Engine.
    pub fn images(&self) -> Result<Vec<ImageSummary>> {
        self.get(operation::IMAGE_LIST, "/images/json".into())?
            .json(LONG_ANSWER)
    }

    /// Whether the Engine has an image of this name.
    pub fn has_image(&self, name: &str) -> Result<bool> {
        self.image(name).map(|image| image.is_some())
    }

    /// The image of this name, if the Engine has one.
    pub fn image(&self, name: &str) -> Result<Option<Image>> {
        if !is_image_name(name) {
            return Ok(None);
        }
        match self.get(operation::IMAGE_INSPECT, format!("/images/{name}/json")) {
            Ok(answer) => answer.json(SMALL_ANSWER).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the Engine the images in a tar archive of `docker save`'s kind.
    pub fn load_images(&self, tar: &mut dyn Read) -> Result<()> {
        let call = operation::IMAGE_LOAD;
        let answer = self.send(Request {
            call,
            method: Method::POST,
            target: "/images/load?quiet=1".into(),
            body: Body::TarStream(tar),
            deadline: LOAD,
        })?;
        load_outcome(call, &answer.bytes(SMALL_ANSWER)?)
    }

    /// Removes an image and its name. One that is gone already is fine.
    pub fn remove_image(&self, name: &str) -> Result<()> {
        if !is_image_name(name) {
            return Ok(());
        }
        match self.delete_image(format!("/images/{name}?force=1")) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    /// Removes an image by its id, if it has no name any more. One that a container still uses stays.
    pub fn remove_unnamed_image(&self, id: &str) -> Result<()> {
        match self.image(id)? {
            // DOCKER: without `force` an image loses its last name all the same.
            Some(image) if image.repo_tags.is_empty() => {}
            _ => return Ok(()),
        }
        match self.delete_image(format!("/images/{id}")) {
            Err(Error::Refused {
                status: 404 | 409, ..
            }) => Ok(()),
            result => result,
        }
    }

    fn delete_image(&self, target: String) -> Result<()> {
        let answer = self.send(Request {
            call: operation::IMAGE_DELETE,
            method: Method::DELETE,
            target,
            body: Body::Empty,
            deadline: LONGEST,
        })?;
        answer.bytes(SMALL_ANSWER).map(drop)
    }
}
