//! A headless Chromium, and campus as the process that it looks at.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::error::CmdError;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::time::timeout;
use url::{ParseError, Url};

/// Where the screenshots are: a folder of the target directory, one for each test.
static SCREENS: LazyLock<PathBuf> = LazyLock::new(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("screens"));

/// A process that says where it listens; ends with this value.
struct Listener {
    process: Child,
    said: String,
}

impl Listener {
    fn start(command: &mut Command, listens: &str) -> Self {
        let program = command.get_program().to_owned();
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap_or_else(|error| {
            panic!("{} does not start ({error}): scripts/test installs what the browser test needs", program.display())
        });
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let said = lines.map_while(Result::ok).find(|line| line.contains(listens));
        Self { process, said: said.unwrap_or_else(|| panic!("{} ended early", program.display())) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Gone already, or gone now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Campus on a database of either kind.
pub(crate) struct Site {
    _process: Listener,
    url: String,
}

impl Site {
    pub(crate) fn start(database: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_campus"));
        // Nobody turns pages as fast as a test does.
        command.args(["--database", database, "--listen", "127.0.0.1:0", "--rate-limit", "off"]);
        let process = Listener::start(&mut command, "http://");
        let address = process.said.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
        let url = format!("http://{address}");
        Self { _process: process, url }
    }
}

/// Chromium's driver, which makes browsers.
pub(crate) struct Driver {
    _process: Listener,
    url: String,
    screens: PathBuf,
}

impl Driver {
    /// Starts it. Screenshots are kept under `name`.
    pub(crate) fn start(name: &str) -> Self {
        let process = Listener::start(Command::new("chromedriver").arg("--port=0"), "successfully on port");
        let port = process.said.trim_end_matches('.').rsplit(' ').next().expect("a port").to_owned();
        let screens = SCREENS.join(name);
        std::fs::create_dir_all(&screens).expect("the target directory is writable");
        Self { _process: process, url: format!("http://127.0.0.1:{port}"), screens }
    }

    /// A new browser, signed in as nobody.
    pub(crate) async fn browser(&self, site: &Site) -> Browser {
        let mut capabilities = Capabilities::new();
        let options = json!({"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1100,900"]});
        capabilities.insert("goog:chromeOptions".into(), options);
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&self.url).await;
        Browser { client: client.expect("Chromium starts"), url: site.url.clone(), screens: self.screens.clone() }
    }
}

/// What somebody looks at a page with.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Screen {
    Light,
    Dark,
    Phone,
}

/// A command of Chromium's own tools for developers, for what the standard has none.
#[derive(Debug)]
struct DevTools {
    command: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/goog/cdp/execute", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"cmd": self.command, "params": self.parameters}).to_string()))
    }
}

/// One browser.
pub(crate) struct Browser {
    pub(crate) client: Client,
    url: String,
    screens: PathBuf,
}

impl Browser {
    pub(crate) async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.url)).await.unwrap();
    }

    /// What the page says, as somebody reads it.
    pub(crate) async fn text(&self) -> String {
        self.client.find(Locator::Css("body")).await.unwrap().text().await.unwrap()
    }

    /// What this part of the page says.
    pub(crate) async fn text_of(&self, css: &str) -> String {
        self.client.find(Locator::Css(css)).await.unwrap().text().await.unwrap()
    }

    /// The address of the page, from its first slash on.
    pub(crate) async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    /// Types into the field of this name.
    pub(crate) async fn type_into(&self, name: &str, text: &str) {
        let field = self.client.find(Locator::Css(&format!("[name={name}]"))).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Presses the button or follows the link that says so.
    pub(crate) async fn press(&self, label: &str) {
        let path = format!("//button[normalize-space()='{label}'] | //a[normalize-space()='{label}']");
        let found = self.client.find(Locator::XPath(&path)).await;
        let Ok(element) = found else { panic!("there is no {label:?} on this page: {}", self.text().await) };
        self.leave_by(element.click()).await;
    }

    /// Follows the first link of this kind.
    pub(crate) async fn press_first(&self, css: &str) {
        let link = self.client.find(Locator::Css(css)).await.unwrap();
        self.leave_by(link.click()).await;
    }

    /// Opens what is folded.
    pub(crate) async fn unfold(&self, details: &str) {
        let summary = format!("{details}/summary");
        self.client.find(Locator::XPath(&summary)).await.unwrap().click().await.unwrap();
    }

    /// Fills a field of this form, and sends it.
    pub(crate) async fn submit(&self, form: &str, name: &str, text: &str) {
        let form = self.client.find(Locator::XPath(form)).await.unwrap();
        form.find(Locator::Css(&format!("[name={name}]"))).await.unwrap().send_keys(text).await.unwrap();
        let button = form.find(Locator::Css("button")).await.unwrap();
        self.leave_by(button.click()).await;
    }

    /// Picks somebody in the demo.
    pub(crate) async fn sign_in(&self, person: &str) {
        self.open("/people").await;
        let path = format!("//form[.//input[@name='person' and @value='{person}']]//button");
        let button = self.client.find(Locator::XPath(&path)).await.unwrap();
        self.leave_by(button.click()).await;
    }

    /// Searches with the box of every page.
    pub(crate) async fn search(&self, words: &str) -> String {
        self.type_into("q", words).await;
        let field = self.client.find(Locator::Css("[name=q]")).await.unwrap();
        self.leave_by(field.send_keys("\u{e007}")).await;
        self.text().await
    }

    /// Does what leads to another page, and waits until this one is gone.
    async fn leave_by(&self, act: impl Future<Output = Result<(), CmdError>>) {
        let page = self.client.find(Locator::Css("html")).await.unwrap();
        act.await.unwrap();
        let leaving = async { while page.tag_name().await.is_ok() {} };
        timeout(Duration::from_mins(1), leaving).await.expect("there comes another page");
    }

    /// Looks at pages in another way from now on.
    pub(crate) async fn look_with(&self, screen: Screen) {
        let scheme = if screen == Screen::Dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tell("Emulation.setEmulatedMedia", features).await;
        let (width, height) = if screen == Screen::Phone { (390, 844) } else { (1100, 900) };
        let is_phone = screen == Screen::Phone;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.tell("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// By how many pixels the page is wider than the screen.
    pub(crate) async fn overflow(&self) -> i64 {
        let script = "const page = document.documentElement; return page.scrollWidth - page.clientWidth";
        self.client.execute(script, Vec::new()).await.unwrap().as_i64().unwrap()
    }

    /// Keeps a picture of the whole page.
    pub(crate) async fn picture(&self, name: &str) {
        let size = self.tell("Page.getLayoutMetrics", json!({})).await["cssContentSize"].take();
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let taken = self.tell("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip})).await;
        let png = STANDARD.decode(taken["data"].as_str().expect("a picture")).unwrap();
        std::fs::write(self.screens.join(format!("{name}.png")), png).unwrap();
    }

    async fn tell(&self, command: &'static str, parameters: Value) -> Value {
        self.client.issue_cmd(DevTools { command, parameters }).await.unwrap()
    }

    pub(crate) async fn close(self) {
        self.client.close().await.unwrap();
    }
}
