//! Which web pages may ask.
//!
//! Pages of other sites may control when `http.cors_origins` names them, and read what
//! they are answered (CORS). Nobody else's may, and without a token that needs more
//! than CORS.
//!
//! Without a token, who can reach the port may control the program: on loopback
//! that is whoever sits at this machine. But their browser is there too, and it
//! sends what any page in it asks for. Two checks keep such pages out:
//!
//! - **Host.** A page whose name leads to this machine after it was loaded (DNS
//!   rebinding) counts as ours to the browser, which then lets it read
//!   everything. Its requests still carry its name, so only names that no page
//!   elsewhere can have are answered.
//! - **Origin.** Browsers send simple requests across sites without asking, and
//!   only hide the answers: enough to make the avatar speak. They say whose page
//!   it was, so other sites' are refused, on the routes that control.
//!
//! WHEP stays open to pages of every origin: players are cross-origin by
//! design, and a viewer changes nothing. With a token there is nothing to check,
//! for no other page knows it.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HOST, LOCATION, ORIGIN, RANGE,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::problem::{Kind, Problem};

/// The pages of every site, in `http.cors_origins`.
pub(super) const ANY: &str = "*";
/// How long a browser may remember what it was told of other sites' pages.
const REMEMBERED: Duration = Duration::from_secs(86_400);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// This machine's name, by which others in its network open the page.
static MACHINE: LazyLock<String> = LazyLock::new(|| {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.unwrap_or_default().trim().to_ascii_lowercase()
});

/// Middleware: 403 for a name that could be another site's.
pub(super) async fn own_host(request: Request, next: Next) -> Response {
    match check_host(request.headers(), &MACHINE) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether `text` is what a browser sends as `Origin` for a page of a site.
pub(super) fn is_origin(text: &str) -> bool {
    let Ok(uri) = Uri::try_from(text) else {
        return false;
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return false;
    };
    // Nothing stands beside the two, and browsers write both small.
    matches!(scheme, "http" | "https")
        && !authority.as_str().contains('@')
        && text == format!("{scheme}://{authority}").to_ascii_lowercase()
}

/// Lets pages of `origins`, each [`ANY`] or one that [`is_origin`], read what control
/// answers; nothing if there are none.
pub(super) fn cors(origins: &[String]) -> Option<CorsLayer> {
    let allowed = if origins.iter().any(|origin| origin == ANY) {
        AllowOrigin::any()
    } else {
        let origins = origins.iter().map(|origin| HeaderValue::from_str(origin));
        AllowOrigin::list(origins.filter_map(Result::ok))
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, LAST_EVENT_ID, RANGE])
        .expose_headers([
            ACCEPT_RANGES,
            CONTENT_RANGE,
            LOCATION,
            RETRY_AFTER,
            WWW_AUTHENTICATE,
        ])
        .max_age(REMEMBERED);
    (!origins.is_empty()).then_some(layer)
}

/// Middleware: 403 for pages of other sites than `origins`.
pub(super) async fn own_pages(
    State(origins): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response {
    match check_origin(request.headers(), &origins) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Who sends no `Host` is no browser.
fn check_host(headers: &HeaderMap, machine: &str) -> Result<(), Problem> {
    for host in headers.get_all(HOST) {
        let authority = Authority::try_from(host.as_bytes());
        if authority.is_ok_and(|a| is_ip(a.host()) || is_local(a.host()) || is_name(&a, machine)) {
            continue;
        }
        return Err(Problem::of(
            Kind::OtherHost,
            format!(
                "Without http.token this answers to an IP address and to localhost only, not to {}: open it by one of them, or set http.token.",
                String::from_utf8_lossy(host.as_bytes())
            ),
        ));
    }
    Ok(())
}

fn check_origin(headers: &HeaderMap, origins: &[String]) -> Result<(), Problem> {
    let own = headers.get(HOST).map(|host| host.as_bytes());
    for origin in headers.get_all(ORIGIN) {
        if origins.iter().any(|named| origin == named) {
            continue;
        }
        let page = Uri::try_from(origin.as_bytes()).ok();
        let page = page.filter(|page| {
            let scheme = page.scheme();
            scheme == Some(&Scheme::HTTP) || scheme == Some(&Scheme::HTTPS)
        });
        let known = page.as_ref().and_then(Uri::authority).is_some_and(|page| {
            own.is_some_and(|own| own.eq_ignore_ascii_case(page.as_str().as_bytes()))
                || is_local(page.host())
        });
        if !known {
            return Err(Problem::of(
                Kind::OtherSite,
                format!(
                    "A page of {} may not control this: name it in http.cors_origins.",
                    String::from_utf8_lossy(origin.as_bytes())
                ),
            ));
        }
    }
    Ok(())
}

fn ip(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

fn is_ip(host: &str) -> bool {
    ip(host).is_some()
}

/// Whether it can only be this machine.
fn is_local(host: &str) -> bool {
    host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
        || ip(host).is_some_and(|ip| ip.is_loopback())
}

/// Whether it is this `machine`, by its own name.
fn is_name(authority: &Authority, machine: &str) -> bool {
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let host = host.strip_suffix(".local").unwrap_or(&host);
    let machine = machine.strip_suffix(".local").unwrap_or(machine);
    !machine.is_empty() && host == machine
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(host: &str, origin: &str) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).expect("a header");
        HeaderMap::from_iter([(HOST, value(host)), (ORIGIN, value(origin))])
    }

    #[test]
    fn only_names_that_no_page_elsewhere_can_have_are_answered() {
        let check = |host: &str| check_host(&headers(host, "null"), "studio").is_ok();
        for own in [
            "127.0.0.1:8080",
            "192.168.1.7",
            "[::1]:8080",
            "localhost",
            "LocalHost:1",
            "studio:8080",
            "studio.local",
        ] {
            assert!(check(own), "{own}");
        }
        for other in [
            "evil.example",
            "127.0.0.1.evil.example:8080",
            "localhost.evil.example",
            "studio.evil.example",
            "evil.local",
            "",
        ] {
            assert!(!check(other), "{other}");
        }
        assert!(check_host(&HeaderMap::new(), "studio").is_ok());
        assert!(check_host(&headers("", "null"), "").is_err());
    }

    #[test]
    fn only_own_and_local_pages_may_control() {
        let named = ["https://studio.example".to_owned()];
        let check = |origin: &str| {
            let headers = headers("192.168.1.7:8080", origin);
            check_origin(&headers, &named).is_ok()
        };
        for own in [
            "http://192.168.1.7:8080",
            "https://192.168.1.7:8080",
            "http://localhost:3000",
            "http://127.0.0.1:5500",
            "http://[::1]",
            "https://studio.example",
        ] {
            assert!(check(own), "{own}");
        }
        for other in [
            "https://evil.example",
            "http://studio.example",
            "https://studio.example.evil.example",
            "http://192.168.1.7:8081",
            "http://192.168.1.8:8080",
            "http://localhost.evil.example",
            "file://localhost",
            "null",
        ] {
            assert!(!check(other), "{other}");
        }
        assert!(check_origin(&HeaderMap::new(), &[]).is_ok());
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for good in [
            "https://studio.example",
            "http://localhost:3000",
            "http://[::1]:80",
            "https://192.0.2.1",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "studio.example",
            "https://",
            "https://studio.example/",
            "https://studio.example/page",
            "https://Studio.example",
            "https://me@studio.example",
            "ftp://studio.example",
            "null",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
