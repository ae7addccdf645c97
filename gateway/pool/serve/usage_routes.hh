// The usage feed over HTTP: what gateways fetch, check and acknowledge. The same for simulated and adopted pools.
#pragma once

#include <memory>

namespace qanat::base {
class HttpServer;
}

namespace qanat::pool {

class UsageRecorder;

// GET /qanat/v1/usage?after=N, POST /qanat/v1/usage/ack, GET /qanat/v1/usage/key. `owner` keeps the recorder alive.
void add_usage_routes(base::HttpServer& server, UsageRecorder& recorder, std::shared_ptr<void> owner);

// For the operator: DELETE /qanat/v1/usage/consumers/{consumer}.
void add_usage_operator_routes(base::HttpServer& server, UsageRecorder& recorder,
                               std::shared_ptr<void> owner);

}  // namespace qanat::pool
