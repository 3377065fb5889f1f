//! Where credentials stand in a request. Must never keep or show one.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

/// The credential of `Authorization: Bearer …`; the scheme in any case, as RFC 9110 has it.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, credential) = authorization(headers)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential.trim()).filter(|credential| !credential.is_empty())
}

/// The credential of `Authorization`, with or without `Bearer` before it: Auth0's passwordless gateway sends a bare token.
pub(super) fn bearer_or_bare(headers: &HeaderMap) -> Option<&str> {
    bearer(headers)
        .or_else(|| authorization(headers).map(str::trim))
        .filter(|text| !text.is_empty() && !text.contains(' '))
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, authorization.parse().unwrap())])
    }

    #[test]
    fn a_bearer_key_is_found() {
        assert_eq!(bearer(&headers("Bearer k")), Some("k"));
        assert_eq!(bearer(&headers("bearer  k")), Some("k"));
        for other in ["", "k", "Basic k", "Bearer", "Bearer "] {
            assert_eq!(bearer(&headers(other)), None, "{other}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn a_bare_token_counts_where_it_may() {
        assert_eq!(bearer_or_bare(&headers("a.b.c")), Some("a.b.c"));
        assert_eq!(bearer_or_bare(&headers("Bearer a.b.c")), Some("a.b.c"));
        assert_eq!(bearer_or_bare(&headers("Basic abc")), None);
    }
}
