use crate::backend::Backend;
use crate::http::Routes;
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> { routes }
#[derive(utoipa::OpenApi)]
#[openapi(paths())]
pub(crate) struct Api;
