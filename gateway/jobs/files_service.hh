// FilesService: OpenAI's files and uploads, and artefacts sent by their chunks, on the gateway's store.
//
//   POST GET /v1/files   GET DELETE /v1/files/{id}   GET /v1/files/{id}/content
//   POST /v1/uploads   POST /v1/uploads/{id}/parts|complete|cancel
//   POST /qanat/v1/artefacts?name=…&purpose=…   body: the manifest → the file and the numbers of missing chunks
//   PUT  /qanat/v1/artefacts/{id}/{number}      body: the chunk; with the last one the file is "processed"
#pragma once

#include <memory>

#include "gateway/jobs/desk.hh"

namespace qanat::jobs {

class FilesService : public std::enable_shared_from_this<FilesService> {
 public:
  explicit FilesService(Desk& desk) : desk_(desk) {}
  void add_routes(base::HttpServer& server);

 private:
  struct Routes;
  Desk& desk_;
};

// Bytes into the store as an artefact; used by what comes in one body.
boost::asio::awaitable<Result<Digest>> keep(Desk& desk, std::string bytes);

}  // namespace qanat::jobs
