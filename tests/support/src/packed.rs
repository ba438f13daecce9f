//! Image archives as `docker save` writes them, made in the test.

use serde_json::json;
use shellcraft::auth::digest_bytes;
use shellcraft::session::bundle::{Archive, Bundled, SOURCES};

/// An image of no files at all, or of one static program that is its `Entrypoint`.
pub fn bundled(image: &str, sources: &str, program: Option<&[u8]>) -> Bundled {
    let mut layer = tar::Builder::new(Vec::new());
    for name in ["home/", "tmp/"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(if name == "tmp/" { 0o1777 } else { 0o755 });
        header.set_size(0);
        layer
            .append_data(&mut header, name, std::io::empty())
            .expect("in memory");
    }
    if let Some(program) = program {
        add(&mut layer, "program", program);
    }
    let layer = layer.into_inner().expect("in memory");
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Entrypoint": ["/program"], "Labels": { SOURCES: sources } },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest_bytes(&layer))] },
    })
    .to_string();
    let config_name = format!("{}.json", digest_bytes(config.as_bytes()));
    let manifest = json!([{ "Config": config_name, "RepoTags": [format!("{image}:latest")], "Layers": ["layer.tar"] }]);
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, &config_name, config.as_bytes());
    add(&mut archive, "layer.tar", &layer);
    add(
        &mut archive,
        "manifest.json",
        manifest.to_string().as_bytes(),
    );
    Bundled {
        image: image.to_owned(),
        sources: sources.to_owned(),
        archive: Archive::Plain(archive.into_inner().expect("in memory")),
    }
}

fn add(archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(bytes.len() as u64);
    archive
        .append_data(&mut header, name, bytes)
        .expect("in memory");
}
