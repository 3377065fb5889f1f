//! A request body that can be read once and remembers whether it was. That is what makes "offered
//! exactly once" a property of the type instead of a setting: no layer below can send it again, and a
//! failure before the first read proves that nothing of the message left this machine.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The body; hyper reads it only when a connection is established and the head is being written.
#[derive(Debug)]
pub(crate) struct Once {
    bytes: Option<Bytes>,
    taken: Taken,
}

/// Whether the body was read, asked from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken(Arc<AtomicBool>);

impl Taken {
    /// The body was handed to a connection: from here on the upstream may hold the message.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Once {
    /// `bytes` must not be empty: an empty body is never read.
    pub(crate) fn new(bytes: Vec<u8>) -> (Self, Taken) {
        let taken = Taken::default();
        (Self { bytes: Some(bytes.into()), taken: taken.clone() }, taken)
    }
}

impl Body for Once {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        this.taken.0.store(true, Ordering::Release);
        Poll::Ready(this.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let len = self.bytes.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(len).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_once_and_remembers_it() {
        let (mut body, taken) = Once::new(b"{}".to_vec());
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(!taken.get() && !body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(2));
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) else { panic!("no frame") };
        assert_eq!(frame.into_data().unwrap(), "{}");
        assert!(taken.get() && body.is_end_stream());
        assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(None)));
    }
}
