use crate::backend::Backend;
use crate::http::Routes;
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> { routes }
