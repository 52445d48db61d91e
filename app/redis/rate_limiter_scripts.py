"""The gate's scripts, which Redis runs: nothing else happens in it meanwhile."""

ADMIT = """
-- Takes back places, then admits the first of the named requests, as many as rate and places allow.
-- Answers {admitted, how many ms to wait before the next can be, how many ms nobody is admitted}.
-- Who gives way leaves half of the burst and of the places free, and waits while anyone else does;
-- the others share the places, as many to each process that waits.
-- KEYS: bucket, places, processes that wait, the moment before which nobody is admitted.
-- ARGV: rate per second, most places, lease in ms, wait when full, process, 1 to give way,
--   how many it holds and how many wait in all, how many leave, names that leave..., that ask...
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
local rate, most, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_wait_ms, process, low_priority = tonumber(ARGV[4]), ARGV[5], ARGV[6] == '1'
local hurry_ms = 100  -- how late who waits may ask again without losing precedence
local held, waiting, first = tonumber(ARGV[7]), tonumber(ARGV[8]), 10 + tonumber(ARGV[9])
local asked = #ARGV - first + 1

local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at_us', 'hurried_us')
local burst = math.max(1, rate)
local tokens = tonumber(bucket[1]) or burst
local at_us = tonumber(bucket[2]) or now_us
tokens = math.min(burst, tokens + math.max(0, now_us - at_us) * rate / 1000000)
for i = 10, first - 1 do
  redis.call('ZREM', KEYS[2], ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now_us)
local held_off_ms = math.ceil(((tonumber(redis.call('GET', KEYS[4])) or 0) - now_us) / 1000)
if held_off_ms > 0 and held_off_ms <= 3600000 then  -- more: the clock went back since
  return {0, 0, held_off_ms}
end
local free = most - redis.call('ZCARD', KEYS[2])

-- where there is but one token or place, it can't be halved: being last must do
local kept_tokens, kept_places, hurried_ms = 0, 0, 0
if low_priority then
  kept_tokens = math.min(burst / 2, burst - 1)
  kept_places = math.min(math.ceil(most / 2), most - 1)
  hurried_ms = math.ceil(((tonumber(bucket[3]) or 0) - now_us) / 1000)
end
-- at_us holds whole microseconds, so that a full bucket may look a hair less than full
local payable = math.floor(tokens - kept_tokens + 0.000001)
local allowed = free - kept_places
if not low_priority then
  redis.call('ZREM', KEYS[3], process)
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now_us)
  local share = math.ceil(most / (1 + redis.call('ZCARD', KEYS[3])))
  allowed = math.min(allowed, share - held)
end
local admitted = math.max(0, math.min(asked, allowed, payable))
if hurried_ms > 0 and hurried_ms <= 1000 / rate + full_wait_ms + hurry_ms then
  admitted = 0
else
  hurried_ms = 0  -- over, or of a clock that went back since
end
for i = first, first + admitted - 1 do
  redis.call('ZADD', KEYS[2], now_us + lease_ms * 1000, ARGV[i])
end
tokens = math.max(0, tokens - admitted)

local wait_ms = hurried_ms
if tokens - kept_tokens < 1 - 0.000001 then
  wait_ms = math.max(wait_ms, math.ceil((1 + kept_tokens - tokens) * 1000 / rate))
elseif allowed <= admitted then
  wait_ms = math.max(wait_ms, full_wait_ms)
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at_us', string.format('%.0f', now_us))
if admitted < waiting and not low_priority then
  local until_us = now_us + (wait_ms + hurry_ms) * 1000
  redis.call('HSET', KEYS[1], 'hurried_us', string.format('%.0f', until_us))
  redis.call('ZADD', KEYS[3], until_us, process)
  redis.call('PEXPIRE', KEYS[3], 10000 + math.ceil(1000 / rate))
end
redis.call('PEXPIRE', KEYS[1], 10000 + math.ceil(1000 / rate))
redis.call('PEXPIRE', KEYS[2], lease_ms + 10000)
return {admitted, wait_ms, 0}
"""
HOLD_OFF = """
-- Admits nobody for so many ms (ARGV), unless it is for longer already. KEYS: the moment's.
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
local left_ms = ((tonumber(redis.call('GET', KEYS[1])) or 0) - now_us) / 1000
if left_ms < tonumber(ARGV[1]) or left_ms > 3600000 then
  local until_us = string.format('%.0f', now_us + ARGV[1] * 1000)
  redis.call('SET', KEYS[1], until_us, 'PX', ARGV[1])
end
"""
