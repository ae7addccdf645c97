// ModelVersions: fine-tuned models that a pool serves on the engines of what they were tuned from: by name, kept across
// restarts in its artefact store's folder.
//
//   PUT /qanat/v1/models/{name} {"base":MODEL,"artefact":DIGEST}   ticket "register" for the name; the artefact is here
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/http_server.hh"
#include "gateway/jobs/artefact/site_store.hh"
#include "identifiers/descriptor/descriptor.hh"

namespace qanat::pool {

class ModelVersions {
 public:
  // Reads what was registered before. Throws std::system_error.
  explicit ModelVersions(jobs::SiteStore& site);

  // `serves`: whether the pool has that base.
  void add_routes(base::HttpServer& server, std::function<bool(const std::string& base)> serves,
                  std::shared_ptr<void> owner);
  // What it was tuned from; the name itself where it is no version.
  std::string_view base_of(std::string_view name) const;
  // They are offered beside their bases, at the bases' prices, and are as busy.
  void describe(descriptor::Descriptor& descriptor) const;

 private:
  boost::asio::awaitable<void> put(std::shared_ptr<void> owner, base::Request& in, base::Responder& out);

  jobs::SiteStore& site_;
  std::string file_;
  std::function<bool(const std::string&)> serves_;
  std::map<std::string, std::string, std::less<>> bases_;
};

}  // namespace qanat::pool
