"""The rate limiter's Lua scripts; Redis runs each of them atomically."""

ACQUIRE = """
-- Releases permits, then grants permits to the first of the requests, as many as the limits allow.
-- Returns {granted, ms to wait before the next can be granted, ms for which requests are paused}.
-- Processes with waiting requests have equal shares of the permits.  Requests of low priority wait
-- while any other request waits, and leave half of the tokens and permits free.
-- KEYS: token bucket, permits by the end of their lease, waiting processes, end of the pause.
-- ARGV: rate per second, most permits, lease in ms, wait in ms if no permit is free, process,
--   1 for low priority, how many permits it holds, how many of its requests wait,
--   number of released ids, released ids..., ids of requests...
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
local rate, most, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local no_permit_wait_ms, process, low_priority = tonumber(ARGV[4]), ARGV[5], ARGV[6] == '1'
local held, waiting, first = tonumber(ARGV[7]), tonumber(ARGV[8]), 10 + tonumber(ARGV[9])
local requested = #ARGV - first + 1
local late_ms = 100  -- a waiting process may ask so much too late without losing its share

for i = 10, first - 1 do
  redis.call('ZREM', KEYS[2], ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now_us)
local paused_ms = math.ceil(((tonumber(redis.call('GET', KEYS[4])) or 0) - now_us) / 1000)
if paused_ms > 0 and paused_ms <= 3600000 then  -- more: Redis's clock was set back since
  return {0, 0, paused_ms}
end

local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at_us')
local burst = math.max(1, rate)
local elapsed_us = math.max(0, now_us - (tonumber(bucket[2]) or now_us))
local tokens = math.min(burst, (tonumber(bucket[1]) or burst) + elapsed_us * rate / 1000000)

if not low_priority then
  redis.call('ZREM', KEYS[3], process)
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now_us)
local latest_us = now_us + (1000 / rate + no_permit_wait_ms + late_ms) * 1000
redis.call('ZREMRANGEBYSCORE', KEYS[3], latest_us, '+inf')  -- Redis's clock was set back since
local others = redis.call('ZCARD', KEYS[3])

local allowed, kept_tokens = most - redis.call('ZCARD', KEYS[2]), 0
if not low_priority then
  allowed = math.min(allowed, math.ceil(most / (1 + others)) - held)
elseif others > 0 then
  allowed = 0
else
  -- a single token or permit can't be halved: then waiting for the others must do
  kept_tokens = math.min(burst / 2, burst - 1)
  allowed = allowed - math.min(math.ceil(most / 2), most - 1)
end
-- at_us is rounded to microseconds, so a full bucket may seem a little less than full
local payable = math.floor(tokens - kept_tokens + 0.000001)
local granted = math.max(0, math.min(requested, allowed, payable))
for i = first, first + granted - 1 do
  redis.call('ZADD', KEYS[2], now_us + lease_ms * 1000, ARGV[i])
end
tokens = math.max(0, tokens - granted)

local wait_ms = 0
if low_priority and others > 0 then
  wait_ms = late_ms
elseif tokens - kept_tokens < 1 - 0.000001 then
  wait_ms = math.ceil((1 + kept_tokens - tokens) * 1000 / rate)
elseif allowed <= granted then
  wait_ms = no_permit_wait_ms
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at_us', string.format('%.0f', now_us))
redis.call('PEXPIRE', KEYS[1], 10000 + math.ceil(1000 / rate))
redis.call('PEXPIRE', KEYS[2], lease_ms + 10000)
if granted < waiting and not low_priority then
  redis.call('ZADD', KEYS[3], now_us + (wait_ms + late_ms) * 1000, process)
  redis.call('PEXPIRE', KEYS[3], 10000 + math.ceil(1000 / rate))
end
return {granted, wait_ms, 0}
"""

PAUSE = """
-- Pauses all requests for so many ms (ARGV), unless they are paused for longer already.
-- KEYS: end of the pause.
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
local left_ms = ((tonumber(redis.call('GET', KEYS[1])) or 0) - now_us) / 1000
if left_ms < tonumber(ARGV[1]) or left_ms > 3600000 then
  local until_us = string.format('%.0f', now_us + ARGV[1] * 1000)
  redis.call('SET', KEYS[1], until_us, 'PX', ARGV[1])
end
"""
