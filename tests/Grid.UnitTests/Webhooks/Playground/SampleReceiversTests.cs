using System.Globalization;
using System.Text;
using Grid.Server.Api;
using Grid.Server.Webhooks.Signing;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Webhooks.Playground;

public sealed class SampleReceiversTests
{
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private readonly WebhookSecret _secret = WebhookSecret.Generate();
    private readonly SampleReceivers _receivers;

    public SampleReceiversTests() => _receivers = new SampleReceivers(_time);

    [Fact]
    public void A_receiver_accepts_what_its_secret_signed_and_counts_repeats()
    {
        Assert.True(_receivers.Set("a", null, _secret));
        Assert.Equal(ReceiverAnswer.Ok, _receivers.Take("a", Request("msg_1")));
        Assert.Equal(ReceiverAnswer.Ok, _receivers.Take("a", Request("msg_1")));
        Assert.Equal(ReceiverAnswer.Ok, _receivers.Take("a", Request("msg_2")));
        var state = _receivers.Read("a", 0)!;
        Assert.Equal((3, 2, 1, 0), (state.Total, state.Accepted, state.Repeats, state.Refused));
        Assert.Equal(["msg_2", "msg_1", "msg_1"], state.Received.Select(r => r.Id));
        Assert.Equal(["msg_2"], _receivers.Read("a", 2)!.Received.Select(r => r.Id));
    }

    [Fact]
    public void What_is_not_signed_leaves_a_count_alone()
    {
        _receivers.Set("a", ReceiverBehaviour.Hang, _secret);
        var good = Request("msg_1");
        ReceivedRequest[] bad =
        [
            good with { Signature = "" }, good with { Signature = "v1," }, good with { Signature = "v2" + good.Signature[2..] },
            good with { Body = "{\"other\":1}"u8.ToArray() }, good with { Id = "msg_2" }, good with { Id = "" }, good with { Timestamp = "x" },
            good with { Timestamp = "9" }, Request("msg_1", secret: WebhookSecret.Generate()), Request("msg_1", ago: TimeSpan.FromMinutes(6)),
            Request("msg_1", ago: TimeSpan.FromMinutes(-6)),
        ];
        foreach (var request in bad) Assert.Equal(ReceiverAnswer.Refused, _receivers.Take("a", request));
        Assert.Equal(ReceiverAnswer.Unknown, _receivers.Take("b", good));
        var state = _receivers.Read("a", 0)!;
        Assert.Equal((bad.Length, 0), (state.Refused, state.Total));
        Assert.Empty(state.Received);

        // One right entry among others is enough, as in a rotation.
        Assert.Equal(ReceiverAnswer.Hang, _receivers.Take("a", good with { Signature = "v1,AAAA " + good.Signature }));
    }

    [Fact]
    public void It_does_what_it_is_told()
    {
        Assert.False(_receivers.Set("a", ReceiverBehaviour.Error, null));
        Assert.Null(_receivers.Read("a", 0));
        _receivers.Set("a", null, _secret);
        foreach (var behaviour in Enum.GetValues<ReceiverBehaviour>().Where(b => b != ReceiverBehaviour.Flap))
        {
            Assert.True(_receivers.Set("a", behaviour, null));
            Assert.Equal(behaviour.ToString(), _receivers.Take("a", Request("msg_1")).ToString());
            Assert.Equal(behaviour, _receivers.Read("a", 0)!.Behaviour);
        }

        _receivers.Set("a", ReceiverBehaviour.Flap, null);
        Assert.Equal(
            [ReceiverAnswer.Error, ReceiverAnswer.Ok, ReceiverAnswer.Error, ReceiverAnswer.Ok],
            Enumerable.Range(0, 4).Select(i => _receivers.Take("a", Request($"msg_{i}"))));
    }

    [Fact]
    public void What_strangers_make_is_bounded()
    {
        _receivers.Set("kept", null, _secret);
        for (var i = 0; i < SampleReceivers.MaxReceivers * 2; i++)
        {
            _receivers.Set($"r{i}", null, WebhookSecret.Generate());
            Assert.Equal(ReceiverAnswer.Ok, _receivers.Take("kept", Request($"msg_{i}", new string('ü', 100_000))));
        }

        Assert.Equal(SampleReceivers.MaxReceivers, _receivers.Count);
        Assert.Null(_receivers.Read("r0", 0));
        var state = _receivers.Read("kept", 0)!;
        Assert.Equal(SampleReceivers.MaxKept, state.Received.Length);
        Assert.All(state.Received, r => Assert.True(r.Body.Length <= SampleReceivers.MaxBody + 1));
        for (var i = 0; i < SampleReceivers.MaxIds + 10; i++) _receivers.Take("kept", Request($"more_{i}"));
        Assert.Equal(ReceiverAnswer.Ok, _receivers.Take("kept", Request($"more_{SampleReceivers.MaxIds + 9}")));
        Assert.Equal(1, _receivers.Read("kept", 0)!.Repeats);
    }

    private ReceivedRequest Request(string id, string body = "{\"type\":\"t\"}", WebhookSecret? secret = null, TimeSpan ago = default)
    {
        var at = (_time.GetUtcNow() - ago).ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        var bytes = Encoding.UTF8.GetBytes(body);
        return new ReceivedRequest
        {
            Id = id,
            Timestamp = at,
            Signature = (secret ?? _secret).Sign(Encoding.ASCII.GetBytes($"{id}.{at}."), bytes),
            Channel = "hook:a",
            Offset = 1,
            Attempt = 1,
            Body = bytes,
        };
    }
}
