// PoolService::State: what the pool's routes share. Private to pool_service.cc and pool_calls.cc.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hh"
#include "base/http_server.hh"
#include "base/metrics.hh"
#include "gateway/pool/serve/chat_api.hh"
#include "gateway/pool/serve/describe.hh"
#include "gateway/pool/serve/embeddings_api.hh"
#include "gateway/pool/serve/live_call.hh"
#include "gateway/pool/serve/model_versions.hh"
#include "gateway/pool/serve/offer_desk.hh"
#include "gateway/pool/serve/placeholder_desk.hh"
#include "gateway/pool/serve/pool_models.hh"
#include "gateway/pool/serve/pool_service.hh"
#include "gateway/pool/serve/to_number.hh"
#include "gateway/pool/tune/tune_service.hh"
#include "gateway/pool/usage/usage_recorder.hh"

namespace qanat::pool {

struct PoolService::State : std::enable_shared_from_this<PoolService::State> {
  State(boost::asio::io_context& context, const PoolConfig& c)
      : io(context),
        config(c),
        started(base::monotonic_now()),
        started_unix_ms(base::unix_now_ms()),
        generation(started_unix_ms),
        next_call(started_unix_ms << 16),
        models(context, config, metrics),
        site(c.artefacts.folder.empty() ? nullptr : std::make_unique<jobs::SiteStore>(context, c.artefacts)),
        versions(site ? std::make_unique<ModelVersions>(*site) : nullptr),
        tune(
            context, config, [this](bool busy) { models.set_neighbour(busy); }, site.get()),
        recorder(context, c.usage_db, c.id, started_unix_ms),
        leases(c.usage_db + ".leases"),
        offers(config, leases),
        desk(context, config, models, offers, leases, site.get(), metrics),
        description(describe(c)) {
    models.on_neighbour_share([this](double share) { tune.set_share(share); });
    if (site) site->on_revoked([this](const std::string& contract) { tune.revoke(contract); });
    models.on_cards_failed([this](base::Duration outage) { tune.lose(outage); });
  }

  std::string descriptor_json();
  // Until it may be worth asking again, in whole seconds: the queue has moved, or the model is up.
  std::string retry_after(Served& one) const;
  boost::asio::awaitable<void> refuse(base::Responder& out, ApiError error);
  // A model that is not up is woken by the first call; whether that call waits is its own decision.
  bool must_go_elsewhere(Served& one, const base::Request& in) const;

  boost::asio::awaitable<void> chat(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  boost::asio::awaitable<void> completion(std::shared_ptr<State> self, base::Request& in,
                                          base::Responder& out);
  boost::asio::awaitable<void> embeddings(std::shared_ptr<State> self, base::Request& in,
                                          base::Responder& out);
  // `embeddings`: null unless it is a call for them.
  boost::asio::awaitable<void> serve(std::shared_ptr<State> self, const ChatRequest& request,
                                     const EmbeddingsRequest* embeddings, base::Request& in,
                                     base::Responder& out);
  boost::asio::awaitable<void> inject(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  boost::asio::awaitable<void> turn(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  std::string status_json() const;

  boost::asio::io_context& io;
  PoolConfig config;
  base::Time started;
  std::uint64_t started_unix_ms, generation;
  CallId next_call;
  base::MetricsRegistry metrics;
  PoolModels models;
  std::unique_ptr<jobs::SiteStore> site;    // null: it keeps no artefacts
  std::unique_ptr<ModelVersions> versions;  // where site is
  TuneService tune;
  UsageRecorder recorder;
  LeaseBook leases;
  OfferDesk offers;
  PlaceholderDesk desk;
  descriptor::Descriptor description;
  std::map<CallId, LiveCall*> live;
  bool stopping = false;
};

}  // namespace qanat::pool
