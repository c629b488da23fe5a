using System.Globalization;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Sending;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Webhooks;

// What people do to the subscription. What is answered is stored.
internal sealed partial class WebhookGrain
{
    /// <summary><see cref="WebhookStart.Named"/> for the heads.</summary>
    private const string Now = "now";

    /// <summary>In how many channels the place of a time is looked for: each is some reads, and is remembered until it is where it was.</summary>
    private const int MaxSearched = 10_000;

    private const int SearchesAtOnce = 16;

    /// <summary>Whether one that is polled is about to be sent from.</summary>
    private bool _getsUrl;

    private Task _lastChange = Task.CompletedTask;

    /// <summary>Whether the definition that is stored may be another one.</summary>
    private bool _isUnsure;

    /// <summary>
    /// Whether all publishes are answered that may not have known its channels: a change that added some may have failed before, here or in an
    /// activation before this one.
    /// </summary>
    private bool _isJoined;

    public async Task<WebhookCreated?> CreateAsync(WebhookDefinition definition, bool fromStart)
    {
        using var change = await ChangeAsync();
        if (await IsReadAsync()) throw new InvalidOperationException("There is a webhook with this id already.");
        var secrets = WebhookSecrets.Create(definition);
        var document = new WebhookDocument { Definition = definition, CreatedAt = time.GetUtcNow() }.With(definition, _secrets);
        var stored = new StoredWebhook
        {
            Id = _id,
            Channels = definition.Channels,
            Version = 1,
            Definition = document.ToBytes(),
            Secrets = _secrets.Protect(secrets),
        };
        var created = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _creating = created.Task;
        try
        {
            if (!await store.CreateAsync(stored, options.Value.MaxPerTenant))
            {
                Leave();
                return null;
            }

            // What is published from the answer on is stored when the store knows the subscription.
            await barrier.PassAsync();
            _isJoined = true;
            if (fromStart) await store.MarkAllAsync(stored);
        }
        catch
        {
            // One that is not answered is none; also where nobody knows whether it was stored.
            await TakeBackAsync();

            // There may be nothing that ever wakes it again.
            Leave();
            throw;
        }
        finally
        {
            _creating = Task.CompletedTask;
            created.SetResult();
        }

        if (!await IsReadAsync()) throw new LogUnavailableException("The webhook was deleted at once.");
        Run();
        return new WebhookCreated(await DescribeAsync(_machine!), WebhookSecrets.Reveal(secrets));
    }

    private async Task TakeBackAsync()
    {
        try
        {
            await store.DeleteAsync(_id);
        }
        catch (Exception e) when (Outage.Is(e))
        {
            LogNotTakenBack(_id, e);
        }
    }

    public async Task<WebhookDescription?> GetAsync(bool inList = false) => await ExistsAsync() ? await DescribeAsync(_machine!, inList) : null;

    public async Task<WebhookDescription?> UpdateAsync(WebhookDefinition definition, long? version = null)
    {
        using var change = await ChangeAsync();
        if (!await ExistsAsync()) return null;
        if (_isUnsure) throw Moves();
        if (!TryTakeSecrets()) throw new LogUnavailableException("The webhook's secrets cannot be decrypted at the moment.");
        if (version is not null && version != ShownVersion) return null;
        var machine = _machine!;

        // Who read the headers saw no values, and gives back what was shown for those that stay; what was not there has none to keep.
        var merged = CustomHeaders.Merge(_headers!, definition.Headers).Where(static h => h.Value != CustomHeaders.Redacted);
        string[] joins = [.. definition.Channels.Except(_stored.Channels)];
        if (joins.Length > 0)
        {
            _isJoined = false;

            // Nothing is left of channels from when they were subscribed to before, but what is published to at this moment.
            await ClearForeignOfAsync(joins);
            if (machine.HasUnwritten) await FlushAsync(machine);
        }

        string[] joining = [.. _foreign.Where(c => !Matches(c) && ChannelPatterns.Match(definition.Channels, c))];

        // Read before the store knows the new patterns: what is answered after that is past these.
        var heads = joining.Length > 0 ? await logs.Durable.GetHeadsAsync([.. joining.Select(ChannelOf)]) : [];
        var (url, wasPull) = (_document.Definition.Url, IsPull);
        var next = _stored with
        {
            Channels = definition.Channels,
            Definition = _document.With(definition with { Headers = new Dictionary<string, string>(merged) }, _secrets).ToBytes(),
            Secrets = _secrets.Protect(WebhookSecrets.Adapt(_signing!, definition)),
        };
        if (IsPull && definition.Url is not null)
        {
            // From here on it may be woken, so that no crash leaves one that has an endpoint asleep.
            _getsUrl = true;
            machine.Touch(NowMs);
            await FlushAsync(machine);
        }

        if (!await StoreAsync(next)) return null;
        machine.Apply(_document.Settings(options.Value), NowMs);

        // Those, too, that were met while it was stored.
        foreach (var channel in machine.Channels.Concat(_marked).Where(c => !Matches(c)).Distinct().ToList())
        {
            machine.Remove(channel, NowMs);
            if (_marked.Remove(channel)) _foreign.Add(channel);
        }

        for (var i = 0; i < joining.Length; i++)
        {
            if (_foreign.Remove(joining[i])) _marked.Add(joining[i]);
            machine.Seek(joining[i], heads[i].Position, NowMs);
        }

        if (url != _document.Definition.Url) machine.OnEndpointChanged(NowMs);

        await FlushAsync(machine);

        if (!_isJoined)
        {
            await barrier.PassAsync();
            _isJoined = true;
        }

        await TakeJoinedAsync();
        var described = await DescribeAsync(machine);

        // Windows differ; the next activation makes a machine of the other kind.
        if (wasPull != IsPull) Leave();
        return described;
    }

    public async Task<bool> DeleteAsync()
    {
        using var change = await ChangeAsync();
        var existed = await store.DeleteAsync(_id);
        Abandon();
        return existed;
    }

    public async Task<string?> RotateSecretAsync(TimeSpan overlap)
    {
        using var change = await ChangeAsync();
        if (!await ExistsAsync()) return null;
        var limited = TimeSpan.FromTicks(Math.Clamp(overlap.Ticks, 0, SecretSet.MaxOverlap.Ticks));
        var definition = _document.Definition;
        TryTakeSecrets();
        var secrets = _signing is null
            ? WebhookSecrets.Create(definition)
            : WebhookSecrets.Rotate(_signing, definition, limited, time.GetUtcNow());
        var next = _stored with { Secrets = _secrets.Protect(secrets) };
        if (_headers is null) next = next with { Definition = (_document with { Headers = null }).ToBytes() };
        if (!await StoreAsync(next)) return await store.GetAsync(_id) is null ? null : throw Moves();
        Run();
        return WebhookSecrets.Reveal(secrets);
    }

    public async Task<WebhookAttemptDescription?> TestAsync()
    {
        if (!await ExistsAsync() || _target is not { } target) return null;
        var attempt = await sender.TestAsync(target) ?? throw new LogUnavailableException("Too many tests are under way.");
        if (target == _target && target.Consent is { IsGiven: true } && !_document.HasConsent) await KeepConsentAsync(target);
        return WebhookViews.Describe(attempt);
    }

    public Task<bool> PauseAsync() => DoAsync(static (machine, now) => machine.Pause(now));

    public Task<bool> ResumeAsync() => DoAsync(static (machine, now) => machine.Resume(now));

    public Task<bool> DisableAsync() => DoAsync(static (machine, now) => machine.Disable(DisabledReason.Request, now));

    public async Task<bool> EnableAsync(WebhookStart from)
    {
        using var change = await ChangeAsync();
        if (!await ExistsAsync() || _machine is not { Status: WebhookStatus.Disabled } machine) return false;
        if (from.Named == Now) await PassOverUnknownAsync(machine);
        var places = await PlacesOfAsync(from);
        if (!machine.Enable(places, NowMs)) return false;
        await FlushAsync(machine);
        return true;
    }

    public async Task<bool> SeekAsync(WebhookStart to)
    {
        using var change = await ChangeAsync();
        if (!await ExistsAsync()) return false;
        var machine = _machine!;
        if (to.Named == Now) await PassOverUnknownAsync(machine);
        var places = await PlacesOfAsync(to);
        foreach (var (channel, position) in places)
        {
            // What was published and delivered since the heads were read stays so.
            if (to.Named == Now) machine.PassOver(channel, position, NowMs);
            else machine.Seek(channel, position, NowMs);
        }

        await FlushAsync(machine);
        return true;
    }

    public async Task<bool> SkipAsync(string messageId)
    {
        if (!await ExistsAsync() || !MessageRef.TryParseId(messageId, out var message) || !Matches(message.Channel)) return false;
        var machine = _machine!;

        // It may not have been read yet, or be of a channel that is not known yet.
        if (!machine.Knows(message.Channel)) NoteMarks(await FindMarksAsync([message.Channel]));
        machine.Notice(message.Channel, (await logs.Durable.GetHeadAsync(ChannelOf(message.Channel))).Position);
        machine.Skip(message, NowMs);
        await FlushAsync(machine);
        return true;
    }

    private async Task<bool> DoAsync(Func<WebhookMachine, long, bool> change)
    {
        using var one = await ChangeAsync();
        if (!await ExistsAsync()) return false;
        var machine = _machine!;
        if (!change(machine, NowMs)) return false;
        await FlushAsync(machine);
        return true;
    }

    /// <summary>
    /// Cursors by channel for a start. <c>cursor</c>: none. <c>now</c>: the heads of the channels that are known. A time: its place in every
    /// channel that matches. Positions: those of channels that match.
    /// </summary>
    private async Task<List<KeyValuePair<string, Position>>> PlacesOfAsync(WebhookStart start)
    {
        if (start.Positions is { } positions)
        {
            KeyValuePair<string, Position>[] asked = [.. positions.Where(p => Matches(p.Key))];
            var ends = await logs.Durable.GetHeadsAsync([.. asked.Select(p => ChannelOf(p.Key))]);

            // Where nothing was ever published there is nothing to move: names that somebody makes up are not remembered. What is published
            // later is beyond no cursor.
            return [.. asked.Zip(ends).Where(static p => p.Second.Head > 0).Select(static p =>
                p.First.Value.Epoch == p.Second.Epoch && p.First.Value.Offset > p.Second.Head
                    ? KeyValuePair.Create(p.First.Key, p.Second.Position)
                    : p.First)];
        }

        if (start.Since is { } since)
        {
            var places = new List<KeyValuePair<string, Position>>();
            foreach (var some in (await MatchingChannelsAsync()).Chunk(SearchesAtOnce))
            {
                var found = await Task.WhenAll(some.Select(c => PositionSearch.BeforeAsync(logs.Durable, ChannelOf(c), since).AsTask()));
                places.AddRange(some.Zip(found, KeyValuePair.Create));
            }

            return places;
        }

        if (start.Named != Now) return [];
        string[] channels = [.. _machine!.Channels];
        var heads = await logs.Durable.GetHeadsAsync([.. channels.Select(ChannelOf)]);
        return [.. channels.Zip(heads, static (c, h) => KeyValuePair.Create(c, h.Position))];
    }

    private async Task<IReadOnlyCollection<string>> MatchingChannelsAsync()
    {
        const int Page = 1_000;
        var found = new HashSet<string>(_machine!.Channels, StringComparer.Ordinal);
        foreach (var pattern in _stored.Channels)
        {
            var after = string.Empty;
            while (true)
            {
                var page = await store.FindChannelsAsync(_id.Tenant, pattern, after, Page);
                found.UnionWith(page);
                if (found.Count > MaxSearched)
                {
                    throw new TooManyChannelsException(string.Create(
                        CultureInfo.InvariantCulture, $"The webhook matches more than {MaxSearched:N0} channels: name their positions instead of a time."));
                }

                if (page.Count < Page) break;
                after = page[^1];
            }
        }

        return found;
    }

    /// <summary>Stores a changed record and takes it over. False: it is gone, or another activation has it; this one goes.</summary>
    private async Task<bool> StoreAsync(StoredWebhook changed)
    {
        var next = changed with { Version = _stored.Version + 1 };
        bool stored;
        try
        {
            stored = await store.UpdateAsync(next, _machine!.Generation);
        }
        catch
        {
            // Nobody knows which of the two is stored: the next activation reads it.
            _isUnsure = true;
            Leave();
            throw;
        }

        if (!stored)
        {
            Abandon();
            return false;
        }

        Take(next);
        return true;
    }

    /// <summary>Remembers that the endpoint agreed, so that it is not asked again after this activation.</summary>
    private async Task KeepConsentAsync(WebhookTarget target)
    {
        try
        {
            using var change = await ChangeAsync();
            if (_stopped || target != _target || _document.HasConsent) return;
            var agreed = _document with { ConsentedUrl = _document.Definition.Url, ConsentedPerMinute = target.Consent!.PerMinute };
            if (!await StoreAsync(_stored with { Definition = agreed.ToBytes() })) return;
            _machine!.Apply(_document.Settings(options.Value), NowMs);
            Run();
        }
        catch (Exception e) when (Outage.Is(e))
        {
            var level = Outage.LevelOf(e);
            LogNotKept(level, _id, e);
        }
    }

    /// <summary>Remembers a replay that ended.</summary>
    private async Task KeepReplayAsync(WebhookReplay ended)
    {
        try
        {
            using var change = await ChangeAsync();
            if (_stopped) return;
            await StoreAsync(_stored with { Definition = (_document with { LastReplay = ended }).ToBytes() });
        }
        catch (Exception e) when (Outage.Is(e))
        {
            var level = Outage.LevelOf(e);
            LogNotKept(level, _id, e);
        }
    }

    /// <summary>Begins a change of the definition or of cursors, when those before it are over.</summary>
    private async ValueTask<Change> ChangeAsync()
    {
        var (before, change) = (_lastChange, new Change());
        _lastChange = change.Over;
        await before;
        return change;
    }

    private sealed class Change : IDisposable
    {
        private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Over => _over.Task;

        public void Dispose() => _over.TrySetResult();
    }

    [LoggerMessage(LogLevel.Warning, "Webhook {Webhook} could not be made, and not be taken back either: it exists, and its maker does not know it")]
    private partial void LogNotTakenBack(WebhookId webhook, Exception exception);

    [LoggerMessage("A note of webhook {Webhook} could not be stored; it is made again if need be")]
    private partial void LogNotKept(LogLevel level, WebhookId webhook, Exception exception);
}
