using System.Diagnostics.Metrics;
using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Sending;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;
using Grid.Testing.Webhooks;
using Microsoft.Extensions.Logging.Abstractions;

namespace Grid.UnitTests.Webhooks.Grain;

public sealed class WebhookSenderTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task A_hanging_endpoint_delays_no_other_tenant()
    {
        await using var dead = new WebhookReceiver();
        dead.Inbox.Answer = Answers.Hang;
        await using var alive = new WebhookReceiver();
        await using var grid = new WebhookFixture(o => (o.FastSlots, o.TenantSlots, o.EndpointSlots) = (4, 2, 2));
        var hanging = Enumerable.Range(1, 50).Select(i => SendAsync(grid, Target("dead", dead), Attempt(i), 0)).ToList();
        await dead.Inbox.NextAsync();
        await dead.Inbox.NextAsync();
        for (var i = 1; i <= 50; i++)
            Assert.Equal(OutcomeKind.Delivered, (await SendAsync(grid, Target("alive", alive), Attempt(i), 0).WaitAsync(Patience)).Kind);
        Assert.All(hanging, static t => Assert.False(t.IsCompleted));
        Assert.Equal(2, dead.Inbox.Count);

        // A stop gives up what hangs, and what waits behind it.
        await grid.Sender.StoppingAsync(CancellationToken.None);
        Assert.All(await Task.WhenAll(hanging).WaitAsync(Patience), static o => Assert.Equal(OutcomeKind.Lost, o.Kind));
        Assert.Equal(OutcomeKind.Lost, (await SendAsync(grid, Target("alive", alive), Attempt(1), 0)).Kind);
    }

    [Fact]
    public async Task An_endpoint_that_hangs_gives_the_fast_slots_back()
    {
        await using var dead = new WebhookReceiver();
        dead.Inbox.Answer = Answers.Hang;
        await using var alive = new WebhookReceiver();
        await using var grid = new WebhookFixture(o => (o.FastSlots, o.SlowAfter) = (1, TimeSpan.FromMilliseconds(50)));
        await grid.Sender.StartAsync(CancellationToken.None);
        var hanging = SendAsync(grid, Target("t", dead), Attempt(1), 0);
        await dead.Inbox.NextAsync();
        Assert.Equal(OutcomeKind.Delivered, (await SendAsync(grid, Target("t", alive), Attempt(1), 0).WaitAsync(Patience)).Kind);
        Assert.False(hanging.IsCompleted);
    }

    [Fact]
    public async Task Tests_that_hang_leave_other_tenants_theirs()
    {
        var dead = new WebhookReceiver();
        dead.Inbox.Answer = Answers.Hang;
        await using var alive = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        var hanging = Enumerable.Range(1, 8).Select(_ => grid.Sender.TestAsync(Target("dead", dead))).ToList();
        for (var i = 0; i < hanging.Count; i++) await dead.Inbox.NextAsync();
        Assert.Null(await grid.Sender.TestAsync(Target("dead", alive)).WaitAsync(Patience));
        Assert.True((await grid.Sender.TestAsync(Target("alive", alive)).WaitAsync(Patience))!.Succeeded);

        // What has ended counts no more.
        await dead.DisposeAsync();
        Assert.All(await Task.WhenAll(hanging).WaitAsync(Patience), static attempt => Assert.False(attempt!.Succeeded));
        Assert.True((await grid.Sender.TestAsync(Target("dead", alive)).WaitAsync(Patience))!.Succeeded);
    }

    [Fact]
    public async Task The_attempt_is_written_before_the_outcome_is_told()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        grid.Store.Away = true;
        var sent = SendAsync(grid, Target("t", endpoint), Attempt(1), 0);
        await endpoint.Inbox.NextAsync();
        Assert.False(sent.IsCompleted);
        grid.Store.Away = false;
        Assert.Equal(OutcomeKind.Delivered, (await sent.WaitAsync(Patience)).Kind);
        Assert.Equal(new MessageRef("c", "e", 1), Assert.Single(grid.Store.Attempts).Ref);
    }

    [Fact]
    public async Task Answers_that_wait_to_be_written_are_bounded_and_attempts_are_not_lost()
    {
        const int Length = 16 * 1024, Fitting = AttemptWriter.MaxAnswers / Length, All = Fitting + 5;
        var (store, answer) = (new FakeWebhookStore { Away = true }, new string('x', Length));
        using var writer = new AttemptWriter(store, TimeProvider.System, NullLogger.Instance);
        await using var endpoint = new WebhookReceiver();
        var target = Target("t", endpoint);
        var told = Enumerable.Range(1, All).Select(Add).ToList();
        store.Away = false;
        Assert.All(await Task.WhenAll(told).WaitAsync(Patience), static o => Assert.Equal(OutcomeKind.Delivered, o.Kind));
        Assert.Equal(Enumerable.Range(1, All), store.Attempts.Select(static a => a.Number));
        Assert.All(store.Attempts, a => Assert.Equal(a.Number <= Fitting ? (answer, false) : (null, true), (a.Answer, a.AnswerClipped)));

        // What is written makes room.
        await Add(All + 1).WaitAsync(Patience);
        Assert.Equal(answer, store.Attempts[^1].Answer);

        Task<Outcome> Add(int number)
        {
            var asker = new Asker();
            var attempt = new StoredAttempt { Webhook = target.Webhook, Id = AttemptId.New(1), MessageId = "msg_1", Number = number, Answer = answer };
            writer.Add(attempt, new Outcome(OutcomeKind.Delivered), new SendJob(target, Attempt(number), asker));
            return asker.Told;
        }
    }

    [Fact]
    public async Task A_stop_waits_for_the_attempt_whose_request_is_just_over()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture(o => o.DrainTime = TimeSpan.FromMinutes(1));

        // Held up where the answer is there and the attempt is not handed on yet.
        var answered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var goOn = new ManualResetEventSlim();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, own) =>
        {
            if (instrument.Meter.Scope == grid.Meters && instrument.Name == "grid.webhooks.attempts") own.EnableMeasurementEvents(instrument);
        };
        listener.SetMeasurementEventCallback<long>((_, _, _, _) =>
        {
            answered.TrySetResult();
            goOn.Wait();
        });
        listener.Start();
        var sent = SendAsync(grid, Target("t", endpoint), Attempt(1), 0);
        await answered.Task.WaitAsync(Patience);
        var stop = grid.Sender.StoppingAsync(CancellationToken.None);
        var endedBefore = stop.IsCompleted;
        goOn.Set();
        await stop.WaitAsync(Patience);
        Assert.False(endedBefore);
        Assert.Single(grid.Store.Attempts);
        Assert.Equal(OutcomeKind.Delivered, (await sent.WaitAsync(Patience)).Kind);
    }

    [Theory]
    [InlineData(200, null, OutcomeKind.Delivered)]
    [InlineData(204, null, OutcomeKind.Delivered)]
    [InlineData(302, null, OutcomeKind.Failed)]
    [InlineData(400, null, OutcomeKind.Rejected)]
    [InlineData(404, "9", OutcomeKind.Rejected)]
    [InlineData(410, null, OutcomeKind.Gone)]
    [InlineData(429, null, OutcomeKind.Failed)]
    [InlineData(429, "0", OutcomeKind.Hold)]
    [InlineData(503, "120", OutcomeKind.Hold)]
    [InlineData(503, null, OutcomeKind.Failed)]
    [InlineData(500, "9", OutcomeKind.Failed)]
    public async Task Answers_are_judged(int status, string? retryAfter, object kind)
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = retryAfter is null ? Answers.Status(status) : Answers.Status(status, ("Retry-After", retryAfter));
        await using var grid = new WebhookFixture();
        var outcome = await SendAsync(grid, Target("t", endpoint), Attempt(1), 0).WaitAsync(Patience);
        Assert.Equal((OutcomeKind)kind, outcome.Kind);
        if (outcome.Kind == OutcomeKind.Hold) Assert.InRange(outcome.RetryAfterMs, 1_000, 120_000);
    }

    [Fact]
    public void Attempts_are_named_by_their_time()
    {
        var (first, second) = (AttemptId.New(1_700_000_000_000), AttemptId.New(1_700_000_000_000));
        Assert.True(string.CompareOrdinal(first, second) < 0);
        Assert.True(AttemptId.TryGetTime(first, out var at));
        Assert.Equal(1_700_000_000_000, at);
        Assert.False(AttemptId.TryGetTime("att_x", out _));
        Assert.False(AttemptId.TryGetTime(first.ToUpperInvariant(), out _));
        Assert.False(AttemptId.TryGetTime(first[..^1] + "g", out _));
        Assert.False(AttemptId.TryGetTime(null, out _));
    }

    private static Task<Outcome> SendAsync(WebhookFixture grid, WebhookTarget target, WebhookAttempt attempt, int usualMs)
    {
        var asker = new Asker();
        grid.Sender.Send(target, attempt, usualMs, asker);
        return asker.Told;
    }

    private static WebhookTarget Target(string tenant, WebhookReceiver endpoint) => new()
    {
        Webhook = new WebhookId(tenant, "wh_1"),
        Url = new Uri(endpoint.Inbox.Url),
        Format = WebhookFormats.Default,
        Secrets = SecretSet.Create(WebhookSecret.Generate()),
        Headers = [],
    };

    private static WebhookAttempt Attempt(long offset) => new(
        offset, new MessageRef("c", "e", offset), new Message { Offset = offset, At = 1, Payload = Payload.Json("1"u8.ToArray()) }, 1, DeliveryKind.Fresh, false);

    /// <summary>Fails if an outcome is told twice.</summary>
    private sealed class Asker : IOutcomes
    {
        private readonly TaskCompletionSource<Outcome> _told = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<Outcome> Told => _told.Task;

        public bool IsWanted(WebhookTarget target) => true;

        public void OnOutcome(WebhookTarget target, WebhookAttempt attempt, Outcome outcome) => _told.SetResult(outcome);
    }
}
